"""What packages are, as MicroPython's `mip` has it: from requirements to every file with its digest. I/O is passed in.

Formats: docs.micropython.org, reference/packages, and tools/build.py of micropython-lib, which makes the index: its
`package/py/NAME/VERSION.json` is of sources, its `file/HH/HASH` is named by the beginning of the SHA-256.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runners.contract import paths
from runners.contract.dependencies import (
    FOLDER,
    MAX_FILES,
    MAX_PACKAGES,
    MAX_TOTAL_BYTES,
    Lock,
    LockedFile,
    Package,
)
from runners.contract.requirement import LATEST, MAX_VERSION_CHARS, Requirement, complaint
from runners.errors import RefusedError

INDEX = "https://micropython.org/pi/v2"
MAX_PACKAGE_BYTES = 256 << 10  # of a package.json
MANIFEST = "kiln.toml"

_HASH = re.compile(r"[0-9a-f]{8,64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_TAKEN = ("https://", "http://", "github:", "gitlab:")
_FILES = (".py", ".mpy")
_RAW = {
    "github": "https://raw.githubusercontent.com/{owner}/{name}/{version}/{path}",
    "gitlab": "https://gitlab.com/{owner}/{name}/-/raw/{version}/{path}",
}
Get = Callable[[str, int], bytes]  # address, most bytes -> what is there; raises RefusedError, TransportError


@dataclass(frozen=True, slots=True)
class Asked:
    requirement: Requirement
    by: str  # `MANIFEST`, or the name of a package


@dataclass(slots=True)
class Resolver:
    """Takes one requirement after the other, those of `kiln.toml` first."""

    get: Get
    index: str = INDEX
    _packages: dict[str, Package] = field(default_factory=dict)
    _asked: dict[str, Asked] = field(default_factory=dict)
    _files: int = 0
    _size_bytes: int = 0

    def resolve(self, requirements: tuple[Requirement, ...]) -> Lock:
        """Raises: RefusedError naming the package; LockError; TransportError."""
        waiting = [Asked(each, MANIFEST) for each in requirements]
        while waiting:
            asked = waiting.pop(0)
            if not self._is_decided(asked):
                waiting += self._take(asked)
        lock = Lock(requirements=tuple(sorted(requirements)), packages=tuple(sorted(self._packages.values())))
        lock.check()
        return lock

    def _is_decided(self, asked: Asked) -> bool:
        """Whether the package is there already, in this version. What `kiln.toml` says of a package holds for all."""
        name, version = asked.requirement.name, asked.requirement.version
        first = self._asked.get(name)
        if first is None:
            return False
        known = (first.requirement.version, self._packages[name].version, LATEST)
        if first.by != MANIFEST and version not in known:
            said = f"{first.by} asks for {first.requirement.said}, {asked.by} for {asked.requirement.said}"
            raise RefusedError(f"{said}: name the one to use in [dependencies] of {MANIFEST}")
        return True

    def _take(self, asked: Asked) -> list[Asked]:
        wanted = asked.requirement
        if said := complaint(wanted):
            raise RefusedError(f"{asked.by} asks for a package that cannot be: {said}")
        if len(self._packages) >= MAX_PACKAGES:
            raise RefusedError(f"these are more than {MAX_PACKAGES} packages")
        where = wanted.name if not wanted.is_in_index else self._in_index(wanted)
        self._asked[wanted.name] = asked
        if where.endswith(_FILES):
            url = rewritten(where, wanted.version)
            file = self._file(wanted.name, where.rpartition("/")[2], url)
            self._packages[wanted.name] = Package(name=wanted.name, version=wanted.version, url=url, files=(file,))
            return []
        where = where if where.endswith(".json") else f"{where.rstrip('/')}/package.json"
        url = rewritten(where, wanted.version)
        described = _described(self.get(url, MAX_PACKAGE_BYTES), url)
        files = tuple(self._files_of(described, where, wanted))
        self._packages[wanted.name] = Package(
            name=wanted.name, version=_version(described, wanted), url=url, files=tuple(sorted(files))
        )
        return [Asked(each, wanted.name) for each in _asked_by(described, wanted)]

    def _in_index(self, wanted: Requirement) -> str:
        return f"{self._index_of(wanted)}/package/py/{wanted.name}/{wanted.version}.json"

    def _index_of(self, wanted: Requirement) -> str:
        return (wanted.index or self.index).rstrip("/")

    def _files_of(self, described: dict[str, Any], where: str, wanted: Requirement) -> Iterator[LockedFile]:
        index = self._index_of(wanted)
        for path, beginning in _pairs(described, "hashes", wanted.name):
            if not _HASH.fullmatch(beginning):
                raise RefusedError(f"{wanted.name} names {path[:100]!a} by {beginning[:80]!r}, which is no hash")
            file = self._file(wanted.name, path, f"{index}/file/{beginning[:2]}/{beginning}")
            if not file.sha256.startswith(beginning):
                raise RefusedError(f"{file.url} is not the file that {wanted.name} names: its SHA-256 differs")
            yield file
        base = where.rpartition("/")[0]
        for path, url in _pairs(described, "urls", wanted.name):
            if _SCHEME.match(url) and not url.startswith(_TAKEN):
                raise RefusedError(f"{wanted.name} names {url[:100]!a}, but only https://host/path is fetched")
            whole = url if _SCHEME.match(url) else f"{base}/{url}"
            yield self._file(wanted.name, path, rewritten(whole, wanted.version))

    def _file(self, package: str, path: str, url: str) -> LockedFile:
        place = f"{FOLDER}/{path}"
        if said := paths.complaint([place]):
            raise RefusedError(f"the package {package} cannot be used: {said}")
        self._files += 1
        if self._files > MAX_FILES:
            raise RefusedError(f"the packages have more than {MAX_FILES} files, with those of {package}")
        content = self.get(url, MAX_TOTAL_BYTES - self._size_bytes)
        self._size_bytes += len(content)
        return LockedFile(path=place, url=url, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def rewritten(where: str, version: str) -> str:
    """The address behind `github:owner/name/path` and `gitlab:...`; any other as it is. Raises: RefusedError."""
    forge, _, rest = where.partition(":")
    if forge not in _RAW:
        return where
    parts = rest.split("/", 2)
    if len(parts) < 3 or not all(parts) or {".", ".."} & set(rest.split("/")):
        raise RefusedError(f"{where[:120]!a} is not like {forge}:owner/repository/path")
    owner, name, path = parts
    return _RAW[forge].format(owner=owner, name=name, version="HEAD" if version == LATEST else version, path=path)


def _described(content: bytes, url: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{url} is not JSON: {error}") from error
    if not isinstance(value, dict) or value.get("v", 1) != 1:
        raise RefusedError(f"{url} is not a package.json of version 1")
    return value


def _pairs(described: dict[str, Any], key: str, package: str) -> list[tuple[str, str]]:
    found = described.get(key, [])
    is_good = isinstance(found, list) and all(
        isinstance(each, list) and len(each) == 2 and all(isinstance(one, str) and one.isprintable() for one in each)
        for each in found
    )
    if not is_good:
        raise RefusedError(f'"{key}" of the package {package} is not a list of pairs of text')
    if len(found) > MAX_FILES:
        raise RefusedError(f'"{key}" of the package {package} lists {len(found)} things, at most {MAX_FILES} are taken')
    return [(first, second) for first, second in found]


def _asked_by(described: dict[str, Any], wanted: Requirement) -> list[Requirement]:
    found = []
    for name, version in _pairs(described, "deps", wanted.name):
        asked = Requirement(name=name, version=version or LATEST)
        found.append(Requirement(name=name, version=asked.version, index=wanted.index if asked.is_in_index else ""))
    return found


def _version(described: dict[str, Any], wanted: Requirement) -> str:
    said = described.get("version")
    is_good = isinstance(said, str) and said and said.isprintable() and len(said) <= MAX_VERSION_CHARS
    return str(said) if is_good else wanted.version
