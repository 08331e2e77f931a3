"""What a recipe is: it stages a tree for the container, and understands what came of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from runners.contract.job import Annotation, Job
from runners.engine import Image
from runners.recipes.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What goes into the container."""

    tree: bytes  # a tar: see build-images/entry
    origins: Mapping[str, str]  # path as the build sees it -> path in the repository


class Recipe(Protocol):
    @property
    def image(self) -> str:
        """The name of the build image."""

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        """Raises: RefusedError when the snapshot cannot be built for this board, naming the file."""

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        """What the compiler said about which line, paths relative to the repository."""

    def check(self, job: Job, files: Mapping[str, bytes]) -> None:
        """Raises: RefusedError when an output is not for this board."""
