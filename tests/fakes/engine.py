"""A container engine in memory: the twin of `runners.docker_engine`, for the same contract suite.

Its "build image" compiles with CPython's parser, so that a module is either valid or reported as mpy-cross would.
"""

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from runners.contract.download import DOWNLOADER
from runners.contract.source import FETCHER, SOURCE_IMAGE
from runners.engine import ContainerSpec, End, Image
from runners.errors import ContainerTimeoutError, ImageMissingError
from runners.recipes.micropython import MicroPython
from runners.verdict import ENTRY


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a container leaves behind."""

    log: bytes = b""
    output: bytes = b""
    end: End = field(default_factory=lambda: End(exit_code=0, is_out_of_memory=False))


Program = Callable[[dict[str, bytes]], Printed]


def compile_tree(tree: dict[str, bytes]) -> Printed:
    """What build-images/micropython does, by CPython's parser."""
    version, words, _ = tree["job"].split()
    listed = tree["list"].split(b"\0")[:-1]
    log, made = "", {path[4:]: data for path, data in tree.items() if path.startswith("out/")}
    for start in range(0, len(listed), int(words)):
        arguments = [each.decode() for each in listed[start : start + int(words)]]
        source, name = arguments[-1], arguments[-2].removeprefix("../out/")
        log += f"mpy-cross-{version.decode()} {' '.join(arguments)}\n"
        try:
            compile(tree[f"in/{source.removeprefix('./')}"], source, "exec")
            made[name] = b"M\x06\x00\x1f" + source.encode()
        except SyntaxError as error:
            log += f'Traceback (most recent call last):\n  File "{source}", line {error.lineno}\nSyntaxError: wrong\n'
    is_bad = "Traceback" in log
    return Printed(log=log.encode(), output=spoken(made, exit_code=123 if is_bad else 0))


def spoken(made: dict[str, bytes], *, exit_code: int = 0, oom: int = 0, blocks: int = 9) -> bytes:
    """Standard output as build-images/entry writes it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in made.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    head = f"started\nexit={exit_code} oom={oom} blocks={blocks} inodes=9\n".encode()
    return head + (packed.getvalue() if not exit_code else b"")


@dataclass(eq=False)
class InMemoryContainer:
    spec: ContainerSpec
    program: Program
    is_resumed: bool = False
    printed: Printed = Printed()
    has_ended: threading.Event = field(default_factory=threading.Event)
    forget: Callable[[], None] = lambda: None

    def feed(self, tree: bytes) -> None:
        if self.has_ended.is_set():
            return
        with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
            files = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
            self.printed = self.program({name: file.read() for name, file in files.items() if file})
        self.has_ended.set()

    def log(self, *, timeout_s: float) -> Iterator[bytes]:
        if not self.has_ended.wait(timeout_s):
            self.has_ended.set()
            raise ContainerTimeoutError(timeout_s)
        yield from (self.printed.log[at : at + 7] for at in range(0, len(self.printed.log), 7))

    def end(self) -> End:
        return self.printed.end

    def output(self) -> Iterator[bytes]:
        yield from (self.printed.output[at : at + 500] for at in range(0, len(self.printed.output), 500))

    def remove(self) -> None:
        self.has_ended.set()
        self.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class InMemoryEngine:
    """`runners.engine.Engine`."""

    def __init__(self, program: Program = compile_tree) -> None:
        self.program = program
        self.containers: dict[str, InMemoryContainer] = {}
        self.images = {
            MicroPython.image: Image(name=MicroPython.image, digest="sha256:0", labels=LABELS),
            SOURCE_IMAGE: Image(name=SOURCE_IMAGE, digest="sha256:1", labels=SOURCE_LABELS),
        }

    def image(self, name: str) -> Image:
        found = [each for each in self.images.values() if name in {each.name, each.digest}]
        if not found:
            raise ImageMissingError(name)
        return found[0]

    def prepare(self, spec: ContainerSpec) -> None:
        return

    def start(self, spec: ContainerSpec) -> InMemoryContainer:
        self.image(spec.image)
        there = self.containers.get(spec.job)
        is_resumed = there is not None and there.spec.runner == spec.runner and bool(there.printed.output)
        if there is not None and not is_resumed:
            there.remove()
        container = there if there is not None and is_resumed else InMemoryContainer(spec, self.program)
        container.is_resumed = is_resumed
        container.forget = lambda: self._forget(spec.job, container)
        self.containers[spec.job] = container
        return container

    def jobs(self, runner: str) -> set[str]:
        return {job for job, each in self.containers.items() if each.spec.runner == runner}

    def remove(self, job: str) -> None:
        if job in self.containers:
            self.containers[job].remove()

    def remove_left(self, job: str, runner: str) -> None:
        if job in self.jobs(runner):
            self.remove(job)

    def remove_waiting(self, runner: str) -> None:
        return

    def _forget(self, job: str, container: InMemoryContainer) -> None:
        if self.containers.get(job) is container:
            del self.containers[job]


SOURCE_LABELS = {"kiln.family": "source", "kiln.fetcher": FETCHER, "kiln.downloader": DOWNLOADER, **dict([ENTRY])}
LABELS = {**dict([ENTRY]), "kiln.micropython": "1.22 1.28 1.29"}
