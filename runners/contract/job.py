"""The contract between service and runner: a :class:`Job` goes in, a :class:`Result` comes out.

Both travel as plain JSON values on the durable queue, so this module is pure and needs the
standard library only. The service writes jobs and reads results; a runner does the opposite.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

QUEUE = "jobs"  # the durable queue that runners listen to
WORKFLOW = "run_job-2"  # the durable workflow that a runner registers: job JSON -> result JSON
OLD_WORKFLOW = "run_job"  # with one checkpoint more: jobs that were begun with it end with it

MAX_MESSAGE_CHARS = 500
MAX_ANNOTATIONS = 50
MAX_WARNINGS = 50
FILES_ARTIFACT = "files.tar"  # what becomes the file system of the board

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ContractError(ValueError):
    """A job or result that is not of this contract."""


class Outcome(enum.Enum):
    """How a job ended. Everything but ``ERROR`` is the repository's doing and is not retried."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the build's own command failed, for example a compile error
    OUT_OF_MEMORY = "out_of_memory"  # the kernel killed it at `Limits.memory_bytes`
    TIMED_OUT = "timed_out"  # still running after `Limits.time_s`
    DISK_FULL = "disk_full"  # it filled `Limits.disk_bytes`
    REFUSED = "refused"  # source or outputs break a rule: a path, a count, a size
    CANCELLED = "cancelled"
    ERROR = "error"  # Docker, network or storage: our trouble, worth a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one container may use. The operator sets it, a repository cannot."""

    memory_bytes: int = 512 << 20
    disk_bytes: int = 256 << 20  # of the work area, which counts as memory too
    cpus: float = 1.0
    pids: int = 128
    time_s: float = 300.0
    log_bytes: int = 4 << 20
    output_bytes: int = 32 << 20
    output_files: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes to fetch: a signed, expiring URL and what must come out of it."""

    url: str
    digest: str  # SHA-256, hex
    size_bytes: int

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ContractError(f"not a SHA-256 digest: {self.digest[:80]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the manifest says about building for one board."""

    source: str = "."  # folder in the snapshot that becomes the board's file system
    overlay: str | None = None  # folder laid over it
    exclude: tuple[str, ...] = ()  # globs, relative to source
    micropython: str = "1.28"  # `major.minor` whose mpy-cross compiles
    arch: str | None = None  # `-march` for native code, None for bytecode only
    flash: str = ""  # size of the board's flash, a name of the catalogue; empty: the usual
    variant: str = ""  # of the base firmware, a name of the catalogue; empty: the usual
    settings: tuple[str, ...] = ()  # the names that are declared
    layout: str = "kiln"  # whose rules say what goes to the board: kiln or pepeunit
    libraries: tuple[str, ...] = ()  # folders of Arduino libraries
    image: str = ""  # an image of the operator's own, for family `own` alone
    command: tuple[str, ...] = ()  # what runs in it
    outputs: tuple[str, ...] = ()  # globs of what is kept of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One commit for one board. ``id`` names the container, so it is unique for ever."""

    id: str
    board: str
    family: str
    commit: str
    source: Blob  # a tar of the snapshot
    uploads: Mapping[str, str]  # artifact name -> signed URL that takes one PUT of it (S3 signs whole keys)
    log_url: str  # signed: POST of log bytes with `?offset=`; answers the offset it wants next
    options: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)
    cache_url: str = ""  # signed: POST of a cache key answers a kept result, or nothing; empty: there is no cache
    share: str = ""  # jobs at once with an equal one may take each other's results; empty: with nobody
    dependencies: Blob | None = None  # a tar of the files of `kiln.lock`, by their paths on the board

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ContractError(f"not a job id (a-z, 0-9, '-', at most 63): {self.id[:80]!r}")

    def to_json(self) -> dict[str, Any]:
        dependencies = {} if self.dependencies is None else {"dependencies": _plain(self.dependencies)}
        return {
            "id": self.id,
            "board": self.board,
            "family": self.family,
            "commit": self.commit,
            "source": _plain(self.source),
            "uploads": dict(self.uploads),
            "log_url": self.log_url,
            "options": {key: list(it) if isinstance(it, tuple) else it for key, it in _plain(self.options).items()},
            "limits": _plain(self.limits),
            "cache_url": self.cache_url,
            "share": self.share,
            **dependencies,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: ContractError when a key is missing, unknown or of the wrong kind.

        Kiln 0.1 knew neither a cache nor dependencies.
        """
        try:
            dependencies = value.get("dependencies")
            told = dict(value["options"])
            options: dict[str, Any] = {key: tuple(it) if isinstance(it, list) else it for key, it in told.items()}
            return cls(
                **{
                    **value,
                    "source": Blob(**value["source"]),
                    "options": Options(**options),
                    "limits": Limits(**value["limits"]),
                    "dependencies": None if dependencies is None else Blob(**dependencies),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"not a job: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A compiler's word on one line of one file, path relative to the repository."""

    path: str
    line: int
    text: str

    def __post_init__(self) -> None:
        # git takes any bytes for a name, and what is no UTF-8 travels through no queue.
        for name in ("path", "text"):
            object.__setattr__(self, name, getattr(self, name).encode("utf-8", "replace").decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a job produced and the runner uploaded."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of something a build takes: of a file, or of a board's flash, RAM or file system."""

    name: str
    size_bytes: int
    of_bytes: int = 0  # how much there is, 0 where that is not known or means nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a job. ``message`` is for the person who pushed: one sentence."""

    job: str
    outcome: Outcome
    message: str = ""
    annotations: tuple[Annotation, ...] = ()
    warnings: tuple[Annotation, ...] = ()  # what the pusher should look at; the build goes on
    artifacts: tuple[Artifact, ...] = ()
    sizes: tuple[Size, ...] = ()  # files first, then what they fill
    image: str = ""  # digest of the build image
    seconds: float = 0.0
    cache_key: str = ""  # runners.contract.cache: what a later job may take this result over by
    cached_from: str = ""  # the job that it was taken over from, without a container
    runner: str = ""  # whose container it was
    started_at: float = 0.0  # Unix seconds by the runner's clock, 0 where that is not known
    finished_at: float = 0.0
    source_warnings: int = 0  # so many of the warnings, the first, are about the source and not what was made of it

    def artifact(self, name: str) -> Artifact | None:
        return next((each for each in self.artifacts if each.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "job": self.job,
            "outcome": self.outcome.value,
            "message": self.message,
            "annotations": [_plain(each) for each in self.annotations],
            "warnings": [_plain(each) for each in self.warnings],
            "artifacts": [_plain(each) for each in self.artifacts],
            "sizes": [_plain(each) for each in self.sizes],
            "image": self.image,
            "seconds": self.seconds,
            "cache_key": self.cache_key,
            "cached_from": self.cached_from,
            "source_warnings": self.source_warnings,
            "runner": self.runner,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: ContractError when it is not a result. Kiln 0.1 wrote no warnings, sizes, runner or times."""
        try:
            return cls(
                **{
                    **value,
                    "outcome": Outcome(value["outcome"]),
                    "annotations": tuple(Annotation(**each) for each in value["annotations"]),
                    "warnings": tuple(Annotation(**each) for each in value.get("warnings", ())),
                    "artifacts": tuple(Artifact(**each) for each in value["artifacts"]),
                    "sizes": tuple(Size(**each) for each in value.get("sizes", ())),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"not a result: {error}") from error


def _plain(value: Any) -> dict[str, Any]:  # any of the flat dataclasses above
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
