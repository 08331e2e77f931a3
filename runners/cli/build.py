"""`kiln build`: every board of a folder's manifest, some at a time, as the service would build them."""

import hashlib
import os
import pathlib
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field

from runners import worktree
from runners.contract.board import Board, Catalogue
from runners.contract.download import DEPENDENCIES
from runners.contract.family import FAMILIES
from runners.contract.job import Artifact, Blob, Job, Limits, Outcome, Result
from runners.contract.manifest import Manifest
from runners.contract.repository import read as read_repository
from runners.engine import Engine
from runners.local import LocalService
from runners.recipes.snapshot import Snapshot
from runners.run import Runner

MAX_AT_ONCE = 4  # boards; each may take a container's whole memory
STOP_LOOK_S = 0.2  # between two looks for what still runs after we were told to stop

Show = Callable[[str, str], None]  # board, one line of its log
Packed = Callable[[Manifest, Mapping[str, bytes | None]], bytes | None]  # what a manifest's build depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for. Empty strings: not said."""

    path: pathlib.Path
    boards: tuple[str, ...] = ()  # empty: all of the manifest
    output: pathlib.Path | None = None  # None: what is made is looked at and dropped
    name: str = ""  # of the firmware, where the manifest has none; default: the folder's
    commit: str = ""
    image: str = ""  # a build image in the place of the family's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    taken: worktree.Taken
    manifest: Manifest
    boards: tuple[Board, ...]
    dependencies: bytes | None = None  # a tar of the files of `kiln.lock`


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    board: str
    result: Result
    folder: pathlib.Path | None  # where its artifacts are
    flash: Artifact | None = None  # beside them, when it was asked for
    trouble: str = ""  # why there is none
    note: str = ""  # why there is never one for this board, which is nobody's fault


def read(wanted: Wanted, catalogue: Catalogue, packed: Packed) -> Source:
    """Raises: RefusedError, ManifestError, UnknownBoardError; what `packed` raises."""
    taken = worktree.take(wanted.path)
    files = Snapshot.parse(taken.snapshot).files
    plain = {path: content for path, content in files.items() if content is not None}
    manifest = read_repository(plain, default_name=wanted.name or taken.name, catalogue=catalogue)
    # A board of the catalogue may be tried before the manifest names it.
    names = dict.fromkeys(wanted.boards or manifest.boards)
    boards = tuple(manifest.kinds.get(each) or catalogue.board(each) for each in names)
    return Source(taken=taken, manifest=manifest, boards=boards, dependencies=packed(manifest, files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """The jobs of one `kiln build`."""

    engine: Engine
    clock: Callable[[], float]  # monotonic seconds
    show: Show
    limits: Limits = field(default_factory=Limits)  # of each container
    is_stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, wanted: Wanted, source: Source) -> Generator[Built, None, None]:
        """What became of each board, as they end. Left early, it ends the others and removes their containers."""
        jobs = {board.name: _job(wanted, source, board, self.limits) for board in source.boards}
        at_once = min(len(jobs), MAX_AT_ONCE, os.cpu_count() or 1)
        with ThreadPoolExecutor(at_once, thread_name_prefix="kiln-build") as pool:
            futures: dict[Future[Result], str] = {
                pool.submit(self._one, wanted, source, job): board for board, job in jobs.items()
            }
            try:
                for done in as_completed(futures):
                    board = futures[done]
                    yield Built(board=board, result=done.result(), folder=_folder(wanted, board))
            finally:
                self.is_stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                while left := [board for future, board in futures.items() if not future.done()]:
                    for board in left:  # more than once: a container may begin while we look
                        self.engine.remove(jobs[board].id)
                    wait(futures, timeout=STOP_LOOK_S)

    def _one(self, wanted: Wanted, source: Source, job: Job) -> Result:
        service = LocalService(
            source=source.taken.snapshot,
            output=_folder(wanted, job.board),
            show=lambda line: self.show(job.board, line),
            dependencies=source.dependencies or b"",
        )
        runner = Runner(
            name="local",
            engine=self.engine,
            service=service,
            clock=self.clock,
            is_cancelled=lambda _: self.is_stopped.is_set(),
            image=wanted.image,
        )
        if self.is_stopped.is_set():
            return Result(job=job.id, outcome=Outcome.CANCELLED, message="cancelled")
        return runner.run(job)


def _job(wanted: Wanted, source: Source, board: Board, limits: Limits) -> Job:
    dependencies = source.dependencies
    return Job(
        id=f"local-{uuid.uuid4().hex}",
        board=board.name,
        family=board.family,
        commit=wanted.commit or source.taken.commit,
        source=_blob("", source.taken.snapshot),
        uploads={name: name for name in FAMILIES[board.family].artifacts},
        log_url="",
        options=source.manifest.options_for(board.name),
        limits=limits,
        dependencies=None if dependencies is None else _blob(DEPENDENCIES, dependencies),
    )


def _blob(url: str, content: bytes) -> Blob:
    return Blob(url=url, digest=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _folder(wanted: Wanted, board: str) -> pathlib.Path | None:
    """The output folder itself for a board that was asked for alone, else a folder in it for each."""
    if wanted.output is None or len(wanted.boards) == 1:
        return wanted.output
    return wanted.output / board
