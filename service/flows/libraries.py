"""The Arduino libraries that a repository brings along: what its bill of materials says of them.

Which of them a sketch includes only the compiler knows, and a job does not tell: all that it was offered are named.
"""

import tarfile
from collections.abc import Iterable
from pathlib import PurePosixPath

from runners.contract.arduino import DEFAULT_LIBRARIES
from runners.contract.job import Options
from service.domain.build import Build
from service.domain.materials import Dependency
from service.domain.summary import plain
from service.flows.snapshot import begin, opened
from service.ports import Objects

PROPERTIES = "library.properties"  # https://arduino.github.io/arduino-cli/latest/library-specification/
MAX_PROPERTIES_BYTES = 64 << 10
MAX_CHARS = 100  # of a name and of a version
MAX_LIBRARIES = 256


def libraries_of(build: Build, options: Options, *, objects: Objects) -> tuple[Dependency, ...]:
    """Raises: MalformedError, AlteredError, ObjectsError."""
    with opened(build, objects) as archive:
        files = [PurePosixPath(each.name) for each in archive if each.isfile()]
        found = sorted(_folders(files, options.libraries or DEFAULT_LIBRARIES))
        return tuple(_library(archive, each) for each in found[:MAX_LIBRARIES])


def _folders(files: Iterable[PurePosixPath], above: Iterable[str]) -> set[str]:
    """A library is a folder in one of those that the manifest names."""
    parents = {PurePosixPath(each) for each in above}
    return {
        folder.as_posix()
        for path in files
        for folder in path.parents
        if folder.parent in parents and not folder.name.startswith(".")
    }


def _library(archive: tarfile.TarFile, folder: str) -> Dependency:
    content = begin(archive, f"{folder}/{PROPERTIES}", MAX_PROPERTIES_BYTES) or b""
    lines = (line.partition("=") for line in content.decode("utf-8", "replace").splitlines())
    told = {key.strip(): plain(value).strip()[:MAX_CHARS] for key, _, value in lines}
    name = told.get("name") or PurePosixPath(folder).name
    return Dependency(name=name, version=told.get("version", ""), url="", parts=(), folder=folder)
