"""What a recipe is: it stages a tree for the container, and understands what came of it. Pure."""

import io
import tarfile
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from runners.contract.job import Annotation, Job, Size
from runners.contract.own_image import adopted
from runners.engine import Image
from runners.recipes.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Look:
    """A look for warnings that takes time: it goes on while the build does, once for all jobs with an equal `key`."""

    key: Hashable
    work: Callable[[], tuple[Annotation, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What goes into the container."""

    tree: bytes  # a tar: see build-images/entry
    origins: Mapping[str, str]  # path as the build sees it -> path in the repository
    warnings: tuple[Annotation, ...] = ()  # what is known before anything is built
    look: Look | None = None  # for more of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came out of a successful build, looked at."""

    artifacts: Mapping[str, bytes]  # by name, each one of the family's (runners.contract.family)
    sizes: tuple[Size, ...] = ()
    warnings: tuple[Annotation, ...] = ()


class Recipe(Protocol):
    @property
    def image(self) -> str:
        """The name of the build image; empty where the job names it."""

    @property
    def runs_programs(self) -> bool:
        """Whether programs of the repository, or of an operator's image, run there: nobody knows what those need.

        A container without them is made more cheaply, and does not know the name localhost.
        """

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        """Raises: RefusedError when the snapshot cannot be built for this board, naming the file."""

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        """What the compiler said about which line, paths relative to the repository."""

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        """The container's outputs as artifacts. Raises: RefusedError when one is not for this board."""


def image_of(recipe: Recipe, job: Job) -> str:
    """The name of the image that the job's container is made of."""
    return recipe.image or adopted(job.options.image)


def pack_tree(files: Mapping[str, bytes], folders: Iterable[str]) -> bytes:
    """The tar that build-images/entry unpacks: folders, files, and last the folder that says that it is whole."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in sorted({"in", "out", *folders}):
            archive.addfile(_folder(folder))
        for path, data in sorted(files.items()):  # the same tree has the same bytes: results are kept by them
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
        archive.addfile(_folder("go"))
    return packed.getvalue()


def _folder(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member
