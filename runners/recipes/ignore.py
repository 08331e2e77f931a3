"""Ignore files, ``.kilnignore`` and ``.pepeignore``: what does not go to the board, in gitignore's syntax.

The syntax, https://git-scm.com/docs/gitignore, is read by pathspec. Two things are ours. No file of a stranger makes
it slow: pathspec's expressions try every way to share a name among the stars of a pattern, ours the first. And what
is ignored is what git ignores: pathspec lets a file be taken back from an ignored folder, git does not.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

from pathspec.patterns.gitignore.spec import _DIR_MARK, _DIR_MARK_CG, GitIgnoreSpecPattern

from runners.errors import RefusedError
from runners.recipes.quiet import quiet

MAX_IGNORE_BYTES = 32 << 10
MAX_PATTERNS = 256  # lines that are neither empty nor comments
MAX_PATTERN_CHARS = 200
MAX_INNER_FOLDERS = 2  # "**" between two other parts of one pattern
MAX_WORK = 1_000_000  # files times the cost of the patterns: about five seconds of one processor at worst

_CHARS_COST = 16  # so many characters of a pattern cost as much as one pattern more
_INNER_COST = 40  # each "**" between two other parts makes it so much dearer: a path has 32 parts at most
_ANY = "[^/]*"  # how pathspec writes a star; no part of a pattern can look so, for none holds a slash
_CLASSES = {
    "[:alnum:]": "a-zA-Z0-9",
    "[:alpha:]": "a-zA-Z",
    "[:blank:]": " \t",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:space:]": " \t\n\r\v\f",
    "[:upper:]": "A-Z",
    "[:xdigit:]": "0-9a-fA-F",
}


class _Pattern(GitIgnoreSpecPattern):
    """A pattern that is matched in time linear in the name, however many stars it has.

    That what stands between two stars is found where it first can be is always right, so it is never looked for
    again: the atomic group, https://docs.python.org/3/library/re.html, as fnmatch has it.
    """

    __slots__ = ()

    @staticmethod
    def _translate_segment_glob(pattern: str, range_error: Literal["literal", "raise"]) -> str:
        for name, members in _CLASSES.items():
            pattern = pattern.replace(name, members)
        first, *rest = GitIgnoreSpecPattern._translate_segment_glob(pattern, range_error).split(_ANY)  # noqa: SLF001
        if not rest:
            return first
        middle = "".join(f"(?>[^/]*?{each})" for each in rest[:-1] if each)
        return f"{first}{middle}{_ANY}{rest[-1]}"

    def fits(self, path: str) -> bool:
        """Whether it speaks of this path itself, not of a folder above. A folder's path ends with a slash."""
        assert self.regex is not None
        if _DIR_MARK not in self.regex.groupindex:  # "*": everything; "lib/**": what is inside
            return self.regex.search(path.rstrip("/")) is not None
        if self.regex.pattern == _DIR_MARK_CG:  # "*/": every folder
            return path.endswith("/")
        found = self.regex.search(path)
        return found is not None and found.end() == len(path)


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns of one file, in its order."""

    name: str
    patterns: tuple[_Pattern, ...]
    cost: int  # of one path, in matches of a short and plain pattern

    @classmethod
    def parse(cls, content: bytes, *, name: str) -> Self:
        """Raises: RefusedError naming the line to fix."""
        if len(content) > MAX_IGNORE_BYTES:
            raise RefusedError(f"{name} has {len(content)} bytes, at most {MAX_IGNORE_BYTES} are allowed")
        try:
            lines = content.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise RefusedError(f"{name} is not UTF-8") from error
        patterns, cost = [], 0
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            if line.rstrip().endswith("/**/"):  # the folders inside; pathspec would take it for the folder itself
                line = f"{line.rstrip()}*/"  # noqa: PLW2901
            cost += _cost(line, f"{name} line {number}")
            if (pattern := _compile(line, f"{name} line {number}")).regex is not None:
                patterns.append(pattern)
        if len(patterns) > MAX_PATTERNS:
            raise RefusedError(f"{name} has {len(patterns)} patterns, at most {MAX_PATTERNS} are allowed")
        return cls(name, tuple(patterns), cost)

    def chosen(self, paths: Iterable[str]) -> frozenset[str]:
        """Those of `paths` that are ignored. Raises: RefusedError when that is more work than is allowed.

        The last pattern that fits decides, and nothing takes a file back whose folder is ignored.
        """
        files = list(paths)
        folders = sorted({path[: cut + 1] for path in files for cut, char in enumerate(path) if char == "/"})
        count = len(files) + len(folders)
        if count * self.cost > MAX_WORK:
            raise RefusedError(
                f"{self.name} is too much work for {count} files and folders: "
                f"use fewer and shorter patterns, and fewer '**' inside them"
            )
        gone: set[str] = set()
        for folder in folders:  # those that hold others come first
            if _above(folder) in gone or self._is_ignored(folder):
                gone.add(folder)
        return frozenset(path for path in files if _above(path) in gone or self._is_ignored(path))

    def _is_ignored(self, path: str) -> bool:
        return next((bool(each.include) for each in reversed(self.patterns) if each.fits(path)), False)


def _above(path: str) -> str:
    """The folder that holds a file or a folder, with its slash."""
    return path[: path.rstrip("/").rfind("/") + 1]


def _compile(line: str, where: str) -> _Pattern:
    try:
        with quiet():
            return _Pattern(line)
    except (ValueError, re.error) as error:
        raise RefusedError(f"{where} is not a pattern of gitignore: {line.strip()[:80]!r}") from error


def _cost(line: str, where: str) -> int:
    if len(line) > MAX_PATTERN_CHARS:
        raise RefusedError(f"{where} has {len(line)} characters, at most {MAX_PATTERN_CHARS} are allowed")
    parts = line.strip().lstrip("!").strip("/").split("/")
    inner = sum(part == "**" for part in parts[1:-1])
    if inner > MAX_INNER_FOLDERS:
        raise RefusedError(f"{where} has {inner} '**' between other parts, at most {MAX_INNER_FOLDERS} are allowed")
    return int(_INNER_COST**inner) + len(line) // _CHARS_COST
