"""One order in a container of the source image, from start to end. The only containers with a network are these.

What such a container has read strangers wrote: what it says and makes is looked at like any output.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from runners import artifacts
from runners.contract.job import Limits, Outcome
from runners.contract.source import SOURCE_IMAGE, Fetched
from runners.engine import Container, ContainerSpec, Engine
from runners.errors import EngineError, RefusedError
from runners.verdict import ENTRY, capped, chain, ended, expect, judge, read_report

SLACK_S = 15.0  # for the driver to be told to stop, and to say so, before the container is killed
LOG_BYTES = 16 << 10  # what went wrong comes in the result; what is here is only of a driver that broke
SLACK_BYTES = 2 << 20  # deflating what cannot be deflated adds a little; and the result's own file


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Work = TypeVar("Work", bound=HasId)
Service = TypeVar("Service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Networked(ABC, Generic[Work, Service]):
    """Does one kind of such work, one piece at a time or several in threads."""

    name: str  # whose containers they are
    engine: Engine
    service: Service
    clock: Callable[[], float]  # monotonic seconds
    is_cancelled: Callable[[str], bool] = lambda _: False

    def run(self, work: Work) -> Fetched:
        """What became of it. Never raises for what can go wrong with it: that is a value too."""
        return ended(
            lambda: self._run(work),
            lambda outcome, message: Fetched(fetch=work.id, outcome=outcome, message=message),
            clock=self.clock,
            is_cancelled=lambda: self.is_cancelled(work.id),
        )

    @abstractmethod
    def _run(self, work: Work) -> Fetched:
        """Raises: RefusedError, EngineError, TransportError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a container is to do."""

    id: str  # names the container
    limits: Limits
    speaks: tuple[str, str]  # label of the image, and the version that it must have
    feed: Callable[[], bytes]  # the tree; asked for once the container is there, and not when it is resumed
    broke: str  # the sentence when the driver broke, to which its last words are added
    too_large: str  # the sentence when memory or disk is full


def obey(
    order: Order, engine: Engine, *, runner: str, is_cancelled: Callable[[str], bool] = lambda _: False
) -> tuple[dict[str, bytes], str]:
    """What the driver made, by name, and the digest of the image.

    Raises: RefusedError in the driver's words; ContainerTimeoutError; EngineError, which may pass.
    """
    image = engine.image(SOURCE_IMAGE)
    expect(image, ENTRY)
    expect(image, order.speaks)
    spec = ContainerSpec(job=order.id, runner=runner, image=image.name, limits=order.limits, has_network=True)
    if is_cancelled(order.id):  # while there was no container that could have been removed
        raise EngineError("cancelled")
    with engine.start(spec) as container:
        if is_cancelled(order.id):
            raise EngineError("cancelled")
        if not container.is_resumed:
            container.feed(order.feed())
        return _follow(order, container), image.digest


def _follow(order: Order, container: Container) -> dict[str, bytes]:
    chunks = capped(container.log(timeout_s=order.limits.time_s), LOG_BYTES)
    log = b"".join(chunks).decode("utf-8", "replace")
    end, output = container.end(), container.output()
    report, rest = read_report(output)
    outcome = judge(end, report, log)
    if outcome in {Outcome.OUT_OF_MEMORY, Outcome.DISK_FULL}:
        raise RefusedError(order.too_large)
    if outcome is not Outcome.SUCCEEDED:
        raise EngineError(f"{order.broke}: {log.strip()[-300:]}")
    files = artifacts.unpack(chain(rest, output), order.limits)
    said = said_in(files)
    if said.get("outcome") != "succeeded":
        kind = RefusedError if said.get("outcome") == "refused" else EngineError
        raise kind(said.get("message") or f"{order.broke}: it ended without a result")
    return files


def with_newlines(content: bytes) -> bytes:
    """The reverse of `without_newlines` in build-images/source/fetcher/pack.py."""
    return content.replace(b"\1\3", b"\n").replace(b"\1\2", b"\1")


def inflate(packed: bytes, limit: int, *, too_large: str) -> bytes:
    """Raises: RefusedError when it is longer than `limit` bytes, which `too_large` says, cut short, or not deflated."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(with_newlines(packed), limit + 1)
    except zlib.error as error:
        raise RefusedError(f"what was fetched cannot be read: {error}") from error
    if len(content) > limit:
        raise RefusedError(too_large)
    if not unpacker.eof:
        raise RefusedError("what was fetched is cut short")
    return content


def said_in(files: Mapping[str, bytes]) -> dict[str, str]:
    """What the driver says of its work."""
    lines = files.get("result", b"").decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
