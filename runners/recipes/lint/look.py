"""All that a build warns about in the files that go to a board. Bounded, whatever a repository holds."""

import ast
from collections.abc import Mapping

from runners.contract import pepeunit
from runners.contract.job import MAX_WARNINGS, Annotation, Options
from runners.recipes.lint import literals, python, secrets, settings, start, words
from runners.recipes.lint.words import Kind

MAX_FILE_BYTES = 256 << 10  # a larger file is not looked at
MAX_TOTAL_BYTES = 1 << 20  # of all files; those after it, by path, are not looked at

_ORDER = (
    Kind.PASSWORD,
    Kind.TOKEN,
    Kind.BROKER,
    Kind.PRIVATE,
    Kind.HOST,
    Kind.NETWORK,
)  # of several in one line, the first


def look(
    chosen: Mapping[str, bytes], files: Mapping[str, bytes | None], options: Options, *, main: str = ""
) -> tuple[Annotation, ...]:
    """At most `MAX_WARNINGS`, values before settings.

    `chosen` are the files that go to the board, by their path in the repository, `main` is the one that the agent
    imports there; `files` are all of the repository.
    """
    found: list[Annotation] = []
    use = settings.Use()
    left = MAX_TOTAL_BYTES
    for path in sorted(chosen):
        content = chosen[path]
        text = _text(content)
        if text is None or len(content) > MAX_FILE_BYTES or len(content) > left:
            use.is_open = use.is_open or path.endswith(".py")  # a setting may be used where nobody looked
            continue
        left -= len(content)
        nodes = python.parse(content) if path.endswith(".py") else []
        if nodes is None:
            use.is_open, nodes = True, []
        settings.used(use, path, nodes, options.layout)
        said = {**_values(path, text, nodes, options), **_starts(nodes, is_main=path == main)}
        found += (Annotation(path=path, line=line, text=said[line]) for line in sorted(said))
        if len(found) >= MAX_WARNINGS:
            return tuple(found[:MAX_WARNINGS])
    found += _in_example(files, options)
    unfit = settings.compare(use, options.settings, files, options.layout)
    found += (Annotation(path=path, line=line, text=text) for path, line, text in unfit)
    return tuple(found[:MAX_WARNINGS])


def _values(path: str, text: str, nodes: list[ast.AST], options: Options) -> dict[int, str]:
    """Line -> sentence."""
    kinds: dict[int, set[Kind]] = {}
    for line, kind in (*secrets.look(path, text), *literals.look(nodes)):
        kinds.setdefault(line, set()).add(kind)
    firsts = {line: next(each for each in _ORDER if each in kinds[line]) for line in kinds}
    return {line: words.sentence(kind, options.layout) for line, kind in firsts.items()}


def _in_example(files: Mapping[str, bytes | None], options: Options) -> list[Annotation]:
    """A unit's example of settings goes to no board, and is where somebody's own key is put by mistake."""
    text = _text(files.get(pepeunit.ENV) or b"") if options.layout == pepeunit.LAYOUT else None
    said = "a real token or key stands in the example, and whoever reads the repository has it: write a word for it"
    return [Annotation(path=pepeunit.ENV, line=line, text=said) for line in secrets.keys(text or "")]


def _starts(nodes: list[ast.AST], *, is_main: bool) -> dict[int, str]:
    return dict.fromkeys(start.look(nodes), start.SENTENCE) if is_main else {}


def _text(content: bytes) -> str | None:
    """None for what is no text."""
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
