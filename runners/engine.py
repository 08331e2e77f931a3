"""The port to whatever runs containers. ``docker_engine`` is the adapter, ``tests/fakes/engine.py`` its twin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from runners.contract.job import Limits
from runners.contract.source import SOURCE_IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A build image as the engine knows it."""

    name: str
    digest: str  # names exactly these bytes
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container: without root, capabilities, mounts or anything to write to but its work area.

    There is no field for any of that, so no repository and no mistake can ask for it. A network has one field,
    which only the image that runs nothing of a repository takes: a build container cannot have it.
    """

    job: str  # names the container: ``kiln-<job>``
    runner: str  # whose container it is: sweeping looks at this
    image: str  # a name, or the digest that names exactly these bytes
    limits: Limits
    has_network: bool = False
    has_localhost: bool = True  # knows itself by that name; without is cheaper

    def __post_init__(self) -> None:
        if self.has_network and self.image != SOURCE_IMAGE:
            raise ValueError(f"only containers of {SOURCE_IMAGE} have a network, not {self.image}")

    @property
    def name(self) -> str:
        return f"kiln-{self.job}"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a container ended."""

    exit_code: int
    is_out_of_memory: bool  # the kernel killed its first process for memory


class Container(Protocol):
    """A started container. A context manager: leaving it removes the container, whatever happened."""

    @property
    def is_resumed(self) -> bool:
        """True when it was there already, with its tree: it must not be fed again."""

    def feed(self, tree: bytes) -> None:
        """Write `tree` to its standard input. Never raises because the container has ended. Raises: EngineError."""

    def log(self, *, timeout_s: float) -> Iterator[bytes]:
        """Its standard error from the first byte, live, until it ends.

        Raises: ContainerTimeoutError, after killing it, when it runs longer than `timeout_s` since its start;
        EngineError.
        """

    def end(self) -> End:
        """Wait for the end, which `log` has seen. Raises: EngineError."""

    def output(self) -> Iterator[bytes]:
        """Its standard output from the first byte, as far as there is any. Raises: EngineError."""

    def remove(self) -> None:
        """Kill and remove it, soon. Safe to call twice, in any state. Never raises: a sweep takes what is left."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Engine(Protocol):
    """Runs containers."""

    def image(self, name: str) -> Image:
        """Raises: ImageMissingError, EngineError."""

    def prepare(self, spec: ContainerSpec) -> None:
        """Jobs like this one will come: start containers ahead, if that is wished for. Never raises."""

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container, or resume the one of this name that has its tree.

        A container of this name that was never fed is replaced. Raises: ImageMissingError, EngineError.
        """

    def jobs(self, runner: str) -> set[str]:
        """The jobs that have a container of this runner, in whatever state. Raises: EngineError."""

    def remove(self, job: str) -> None:
        """Kill and remove the job's container, if there is one. Safe to call from another thread. Never raises."""

    def remove_left(self, job: str, runner: str) -> None:
        """Remove the job's container if a predecessor of this name, who died, left one. Raises: EngineError."""

    def remove_waiting(self, runner: str) -> None:
        """Remove what a dead predecessor of this name made ahead. Raises: EngineError."""
