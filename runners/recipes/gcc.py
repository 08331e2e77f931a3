"""What GCC, and whatever writes as it does, says about which line: ``file:line:column: error: text``."""

import re

from runners.contract.job import MAX_ANNOTATIONS, MAX_MESSAGE_CHARS, Annotation

ERRORS = ("error", "fatal error")
WARNINGS = ("warning",)
WORK = "/work/in/"  # where every build container has the tree

_SAID = re.compile(
    r"^([^\s:][^:\n]{0,199}):(\d{1,9}):(?:\d{1,9}:)? (fatal error|error|warning): ([^\n]*)$", re.MULTILINE
)
_PLAIN = re.compile(r"[\w.+@=,~ -]+(?:/[\w.+@=,~ -]+)*")


def said(log: str, kinds: tuple[str, ...], *, folder: str = ".") -> list[Annotation]:
    """Each thing once, the first MAX_ANNOTATIONS of them.

    Paths are relative to the repository: absolute ones below WORK as they are, others as seen from `folder`. What is
    said of any other file is left out.
    """
    found: dict[Annotation, None] = {}
    for path, line, kind, text in _SAID.findall(log):
        origin = _origin(path, folder)
        if kind in kinds and origin and len(found) < MAX_ANNOTATIONS:
            found[Annotation(path=origin, line=int(line), text=text[:MAX_MESSAGE_CHARS])] = None
    return list(found)


def _origin(path: str, folder: str) -> str | None:
    if path.startswith(WORK):
        path = path.removeprefix(WORK)
    elif not path.startswith("/"):
        path = path.removeprefix("./")
        path = path if folder == "." else f"{folder}/{path}"
    return path if _PLAIN.fullmatch(path) and not {".", ".."} & set(path.split("/")) else None
