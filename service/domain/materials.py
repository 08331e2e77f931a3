"""Materials: what went into the firmware of one board, for its bill of materials (SBOM)."""

import datetime
from dataclasses import dataclass

from service.domain.repository import Forge


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of the firmware, or of what it depends on."""

    path: str
    digest: str  # SHA-256, hex
    size_bytes: int
    url: str = ""  # where it was fetched from; empty for what was built


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A package that went in: somebody else's, exactly as it was locked, or a folder of the repository."""

    name: str
    version: str
    url: str  # where from; empty for a folder
    parts: tuple[Part, ...]
    folder: str = ""  # of the repository, whose commit says what is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """Everything that is known, from records alone."""

    name: str  # of the firmware
    version: str
    board: str
    family: str
    forge: Forge
    host: str
    path: str  # of the repository at its forge
    url: str  # of the repository, without credentials
    commit: str
    source_digest: str
    digest: str  # of the bundle, or of the first artifact where boards of the family take none
    release: str  # digest of the signed statement; empty where there is no bundle
    parts: tuple[Part, ...]
    micropython: str  # `major.minor` that compiled it and that it runs on; empty for firmware without
    mpy: int  # version of its .mpy files, 0 when there are none
    image: str  # digest of the build image
    dependencies: tuple[Dependency, ...] = ()
    at: datetime.datetime
