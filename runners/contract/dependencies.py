"""The lock, ``kiln.lock``: every file of every package that a repository depends on, with its digest.

`kiln lock` writes it, people commit it, and a build takes exactly what it says. JSON, so that it reads and merges line
by line; in a stable order and without a time, so that equal dependencies have equal locks. Pure, standard library only.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote

from runners.contract import paths
from runners.contract.requirement import (
    MAX_NAME_CHARS,
    MAX_REQUIREMENTS,
    MAX_VERSION_CHARS,
    Requirement,
    complaint,
)
from runners.contract.table import ManifestError

LOCK = "kiln.lock"
FORMAT = 1  # raised when an older Kiln could not read it
FOLDER = "lib"  # on the board; MicroPython looks there for modules
MAX_LOCK_BYTES = 1 << 20
MAX_PACKAGES = 128
MAX_FILES = 512  # as many as a board takes
MAX_TOTAL_BYTES = 8 << 20  # of all files; boards have 1 to 16 MB of flash
MAX_URL_CHARS = 1000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(
    r"https?://[A-Za-z0-9.\[\]:_-]+/(?!.*[?#\\])[!-~]+"
)  # what of these is not taken says build-images/source/fetcher/address.py
_FILE = {"path": str, "url": str, "sha256": str, "size_bytes": int}


class LockError(ManifestError):
    """`kiln.lock` is broken or does not fit `kiln.toml`; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LockedFile:
    """One file, as it is fetched and as it lies on the board."""

    path: str  # on the board, below `FOLDER`
    url: str
    sha256: str  # hex
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Package:
    """One package and its files. Two packages may bring the same file, if it is the same."""

    name: str  # as in `Requirement`
    version: str  # what its package.json says, else what was asked for
    url: str  # of its package.json, or of its only file
    files: tuple[LockedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    requirements: tuple[Requirement, ...]  # of `kiln.toml`, when this was made
    packages: tuple[Package, ...]  # also what packages ask for, sorted

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Raises: LockError when it is not a lock, or breaks a limit; it names the file."""
        if len(content) > MAX_LOCK_BYTES:
            raise LockError(f"{LOCK} is larger than {MAX_LOCK_BYTES >> 10} KiB")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _broken(f"it is not JSON ({error})") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise _broken(f'its "format" is not {FORMAT}')
        found = cls(requirements=_requirements(value), packages=_packages(value))
        found.check()
        return found

    def check(self) -> None:
        """Raises: LockError naming the first rule that does not hold."""
        files = [each for package in self.packages for each in package.files]
        if len(files) > MAX_FILES:
            raise LockError(f"{LOCK} names {len(files)} files, a board takes at most {MAX_FILES}")
        for each in files:
            _check_file(each)
        once = self.files
        if said := paths.complaint(each.path for each in once):
            raise LockError(f"{LOCK} cannot be used: {said}")
        total = sum(each.size_bytes for each in once)
        if total > MAX_TOTAL_BYTES:
            raise LockError(f"{LOCK} names {total} bytes of files, at most {MAX_TOTAL_BYTES} are taken")

    @property
    def files(self) -> tuple[LockedFile, ...]:
        """Each file once, by path. Raises: LockError when two packages bring different files of one path."""
        owners: dict[str, tuple[str, LockedFile]] = {}
        for package in self.packages:
            for each in package.files:
                other, known = owners.setdefault(each.path, (package.name, each))
                if (known.sha256, known.size_bytes) != (each.sha256, each.size_bytes):
                    raise LockError(
                        f"{other} and {package.name} bring different files for {each.path}: use one of them"
                    )
        return tuple(known for _, known in sorted(owners.values(), key=lambda each: each[1].path))

    @property
    def digest(self) -> str:
        """SHA-256, hex, of what there is to fetch, whatever package brings it."""
        return digest_of(self.files)

    def to_bytes(self) -> bytes:
        value = {
            "format": FORMAT,
            "dependencies": [_plain(each) for each in sorted(self.requirements)],
            "packages": [
                {**_plain(each), "files": [_plain(one) for one in sorted(each.files)]} for each in sorted(self.packages)
            ],
        }
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def digest_of(files: Iterable[LockedFile]) -> str:
    """SHA-256, hex, of a list of paths, addresses, digests and sizes."""
    what = [[each.path, each.url, each.sha256, each.size_bytes] for each in sorted(files)]
    return hashlib.sha256(json.dumps(what, separators=(",", ":")).encode()).hexdigest()


def locked(requirements: tuple[Requirement, ...], content: bytes | None) -> Lock | None:
    """The lock that a build takes, by what `kiln.toml` asks for and what `kiln.lock` holds; None: none is needed.

    Raises: LockError when it is missing, broken, or was made for something else.
    """
    if not requirements:
        return None
    if content is None:
        raise LockError(f"kiln.toml has [dependencies], but there is no {LOCK}: run `kiln lock` and commit {LOCK}")
    lock = Lock.parse(content)
    if set(lock.requirements) != set(requirements):
        changed = min(set(requirements) ^ set(lock.requirements)).name
        raise LockError(f"{LOCK} does not fit [dependencies] ({changed}): run `kiln lock` and commit {LOCK}")
    return lock


def _requirements(value: Mapping[str, Any]) -> tuple[Requirement, ...]:
    found = []
    for each in _list(value, "dependencies", MAX_REQUIREMENTS):
        _expect(each, {"name": str, "version": str, "index": str}, "a dependency")
        requirement = Requirement(**each)
        if said := complaint(requirement):
            raise _broken(said)
        found.append(requirement)
    return tuple(found)


def _packages(value: Mapping[str, Any]) -> tuple[Package, ...]:
    found, left = [], MAX_FILES
    for each in _list(value, "packages", MAX_PACKAGES):
        _expect(each, {"name": str, "version": str, "url": str, "files": list}, "a package")
        _check_url(each["url"], each["name"])
        if len(each["name"]) > MAX_NAME_CHARS or len(each["version"]) > MAX_VERSION_CHARS:
            raise _broken("a name or a version is too long")
        files = _list(each, "files", left)
        left -= len(files)
        for one in files:
            _expect(one, _FILE, "a file")
        made = tuple(LockedFile(**one) for one in files)
        found.append(Package(name=each["name"], version=each["version"], url=each["url"], files=made))
    return tuple(found)


def _check_file(file: LockedFile) -> None:
    if not file.path.startswith(f"{FOLDER}/"):
        raise _broken(f"{file.path[:120]!a} is not below {FOLDER}/")
    if not _DIGEST.fullmatch(file.sha256) or not 0 <= file.size_bytes <= MAX_TOTAL_BYTES:
        raise _broken(f"{file.path} has no SHA-256 digest, or a size of {file.size_bytes} bytes")
    _check_url(file.url, file.path)


def _check_url(url: str, whose: str) -> None:
    parts = [unquote(each) for each in url.split("/")[3:]]
    is_plain = all(each not in {".", ".."} and each.isprintable() and not {"/", "\\"} & set(each) for each in parts)
    if len(url) > MAX_URL_CHARS or not _URL.fullmatch(url) or not is_plain:
        shown = ascii(url[:100])
        raise _broken(f"{whose[:100]!a} is at {shown}, but only https://host/path is fetched, without user or query")


def _list(value: Mapping[str, Any], key: str, limit: int) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise _broken(f'"{key}" is not a list')
    if len(found) > limit:
        raise LockError(f"{LOCK} has {len(found)} {key}, and at most {limit} are taken")
    return found


def _expect(value: Any, kinds: Mapping[str, type], what: str) -> None:  # whatever JSON holds
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise _broken(f"{what} has not the keys {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(value[key], kind) or isinstance(value[key], bool):
            raise _broken(f'"{key}" of {what} is of the wrong kind')
        if kind is str and not value[key].isprintable():
            raise _broken(f'"{key}" of {what} holds a control character')


def _broken(why: str) -> LockError:
    return LockError(f"{LOCK} cannot be read: {why}. Run `kiln lock` and commit {LOCK}")


def _plain(value: Any) -> dict[str, Any]:  # any of the flat dataclasses above
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def changes(before: Iterable[Package], after: Iterable[Package]) -> list[str]:
    """What became of the packages, one line each, for people."""
    old, new = ({each.name: each for each in some} for some in (before, after))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was is None and now is not None:
            lines.append(f"+ {name} {now.version}")
        elif now is None and was is not None:
            lines.append(f"- {name} {was.version}")
        elif was is not None and now is not None and was != now:
            same = was.version == now.version
            lines.append(f"~ {name} {was.version} -> {now.version}{' (other files)' if same else ''}")
    return lines
