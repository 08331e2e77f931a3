"""What a commit holds, judged before any of it is packed. Pure: over the words of git."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fetcher.words import RefusedError

LINK, SUBMODULE = "120000", "160000"
PLAIN = ("100644", "100755", "100664")
# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer has less than 1024 bytes and begins so.
MAX_POINTER_BYTES = 1024
_POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_NUMBERED = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Entry(NamedTuple):
    mode: str
    id: str  # of the blob, or of a submodule's commit
    size: int
    path: str  # undecodable bytes as surrogates


class Limits(NamedTuple):
    snapshot_bytes: int
    files: int
    path_bytes: int
    path_parts: int
    submodules: int
    submodule_levels: int
    time_s: int


class Submodule(NamedTuple):
    path: str
    url: str
    commit: str


def entries(listing: bytes) -> list[Entry]:
    """Of `git ls-tree -r -z -l`. Raises: RefusedError when it is not that."""
    found = []
    for line in listing.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        words = head.decode("ascii", "replace").split()
        if len(words) != 4 or not _NUMBERED.fullmatch(words[2]):
            raise RefusedError("the commit holds a tree that cannot be read")
        size = int(words[3]) if words[3].isdigit() else 0
        found.append(Entry(words[0], words[2], size, path.decode("utf-8", "surrogateescape")))
    return found


class Budget:
    """What has been taken of the limits so far, over the repository and all its submodules."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.files = 0
        self.size_bytes = 0
        self.submodules = 0

    def take(self, found: Iterable[Entry], prefix: str) -> None:
        """Raises: RefusedError naming the first limit that does not hold, and the file."""
        for each in found:
            self._take(each, prefix)

    def _take(self, entry: Entry, prefix: str) -> None:
        limits, path = self.limits, prefix + entry.path
        shown = ascii(path[:120])
        parts = path.split("/")
        if any(ord(each) < 32 or ord(each) == 127 for each in path) or {"", ".", ".."} & set(parts) or _is_gits(parts):
            raise RefusedError(f"the repository holds {shown}, a path that is not taken")
        if len(path.encode("utf-8", "surrogateescape")) > limits.path_bytes or len(parts) > limits.path_parts:
            at_most = f"{limits.path_bytes} bytes and {limits.path_parts} folders"
            raise RefusedError(f"the path {shown} is too long: at most {at_most} are taken")
        self.submodules += entry.mode == SUBMODULE
        self.files += entry.mode != SUBMODULE
        self.size_bytes += entry.size
        if self.files > limits.files:
            raise RefusedError(f"the repository has more than {limits.files} files")
        if self.size_bytes > limits.snapshot_bytes:
            raise RefusedError(f"the repository has more than {limits.snapshot_bytes >> 20} MiB of files")
        if self.submodules > limits.submodules:
            raise RefusedError(f"the repository has more than {limits.submodules} submodules")


def _is_gits(parts: list[str]) -> bool:
    return any(each.lower().rstrip(" .") in {".git", "git~1"} for each in parts)


def pointers(found: Iterable[Entry]) -> list[Entry]:
    """The files that may be pointers to large files, by their size alone."""
    return [each for each in found if each.mode in PLAIN and 0 < each.size < MAX_POINTER_BYTES]


def is_pointer(content: bytes) -> bool:
    return content.startswith(_POINTERS)


def submodules(found: list[Entry], config: bytes) -> Iterator[Submodule]:
    """Those of a tree, by `git config -z --list` of its .gitmodules. Raises: RefusedError naming the submodule."""
    sections = _sections(config)
    by_path = {fields["path"][-1]: fields for fields in sections.values() if fields.get("path")}
    for each in (each for each in found if each.mode == SUBMODULE):
        fields = by_path.get(each.path, {})
        url = fields.get("url", [""])[-1]
        if not url:
            raise RefusedError(f"the submodule {each.path[:100]!a} has no url in .gitmodules")
        if fields.get("update", [""])[-1] != "none":  # as git has it: not to be fetched
            yield Submodule(each.path, url, each.id)


def _sections(config: bytes) -> dict[str, dict[str, list[str]]]:
    sections: dict[str, dict[str, list[str]]] = {}
    for line in config.split(b"\0")[:-1]:
        key, _, value = line.decode("utf-8", "replace").partition("\n")
        name, _, field = key.removeprefix("submodule.").rpartition(".")
        if not key.startswith("submodule.") or not name:
            continue
        shown = f"the submodule {name[:100]!a} in .gitmodules"
        if ".." in re.split(r"[/\\]", name) or name.startswith("-"):
            raise RefusedError(f"{shown} has a name that is not taken")
        if field == "update" and value.startswith("!"):
            raise RefusedError(f"{shown} wants to run a command (update = !...), which is not done")
        if field in {"path", "url"} and value.startswith("-"):
            raise RefusedError(f"{shown} has a {field} that begins with '-'")
        if field == "path" and ({"", ".", ".."} & set(re.split(r"[/\\]", value))):
            raise RefusedError(f"{shown} has a path that leads elsewhere: {value[:100]!a}")
        sections.setdefault(name, {}).setdefault(field, []).append(value)
    return sections
