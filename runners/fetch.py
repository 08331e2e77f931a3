"""One fetch from start to end: ask for the credential, run git in a container, look at what came, upload it.

The only containers with a network are started here.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from runners import artifacts
from runners.contract.job import Limits, Outcome
from runners.contract.source import (
    FETCHER,
    NO_FILES,
    SOURCE_IMAGE,
    Credential,
    Fetch,
    Fetched,
    SourceLimits,
    is_empty,
)
from runners.engine import Container, ContainerSpec, Engine
from runners.errors import ContainerTimeoutError, EngineError, RefusedError
from runners.recipes.recipe import pack_tree
from runners.recipes.snapshot import Snapshot
from runners.verdict import capped, chain, ended, judge, read_report

SLACK_S = 15.0  # for git to be told to stop, and to say so, before the container is killed
LOG_BYTES = 16 << 10  # git's words come in the result; what is here is only of a driver that broke
SLACK_BYTES = 2 << 20  # deflating what cannot be deflated adds a little; and the result's own file
NO_ACCESS = Credential(username="", password="")


class Service(Protocol):
    """The service as a fetch sees it."""

    def access(self, url: str) -> Credential | None:
        """None: none is needed. Raises: RefusedError when there can be none; TransportError."""

    def upload(self, url: str, content: bytes) -> None:
        """Safe to repeat. Raises: TransportError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches sources, one at a time or several in threads."""

    name: str  # whose containers they are
    engine: Engine
    service: Service
    clock: Callable[[], float]  # monotonic seconds
    is_cancelled: Callable[[str], bool] = lambda _: False

    def run(self, fetch: Fetch) -> Fetched:
        """What became of it. Never raises for what can go wrong with a fetch: that is a value too."""
        return ended(
            lambda: self._run(fetch),
            lambda outcome, message: Fetched(fetch=fetch.id, outcome=outcome, message=message),
            clock=self.clock,
            is_cancelled=lambda: self.is_cancelled(fetch.id),
        )

    def _run(self, fetch: Fetch) -> Fetched:
        image = self.engine.image(SOURCE_IMAGE)
        if image.labels.get("kiln.fetcher") != FETCHER:
            raise EngineError(f"build image {image.name} is of another version: make it with build-images/build.py")
        spec = ContainerSpec(
            job=fetch.id, runner=self.name, image=image.name, limits=container_limits(fetch.limits), has_network=True
        )
        with self.engine.start(spec) as container:
            if not container.is_resumed:
                container.feed(orders(fetch, self.service.access(fetch.access_url)))
            result = self._follow(fetch, container, spec.limits)
        return replace(result, image=image.digest)

    def _follow(self, fetch: Fetch, container: Container, limits: Limits) -> Fetched:
        try:
            log = b"".join(capped(container.log(timeout_s=limits.time_s), LOG_BYTES)).decode("utf-8", "replace")
        except ContainerTimeoutError as error:
            return Fetched(fetch=fetch.id, outcome=Outcome.TIMED_OUT, message=f"fetching the source: {error}")
        end, output = container.end(), container.output()
        report, rest = read_report(output)
        outcome = judge(end, report, log)
        if outcome in {Outcome.OUT_OF_MEMORY, Outcome.DISK_FULL}:
            raise RefusedError("the repository is too large to be fetched")
        if outcome is not Outcome.SUCCEEDED:
            raise EngineError(f"fetching the source broke off: {log.strip()[-300:]}")
        files = artifacts.unpack(chain(rest, output), limits)
        said = _read(files.get("result", b""))
        if said.get("outcome") != "succeeded":
            kind = RefusedError if said.get("outcome") == "refused" else EngineError
            raise kind(said.get("message") or "fetching the source ended without a result")
        return self._keep(fetch, files)

    def _keep(self, fetch: Fetch, files: dict[str, bytes]) -> Fetched:
        """The container has read what strangers wrote: what it made is looked at like any output."""
        snapshot = inflate(with_newlines(files.get("snapshot", b"")), fetch.limits.snapshot_bytes)
        if is_empty(snapshot):
            raise RefusedError(NO_FILES)
        found = Snapshot.parse(snapshot).files
        self.service.upload(fetch.upload_url, snapshot)
        return Fetched(
            fetch=fetch.id,
            outcome=Outcome.SUCCEEDED,
            digest=hashlib.sha256(snapshot).hexdigest(),
            size_bytes=len(snapshot),
            files=len(found),
        )


def orders(fetch: Fetch, credential: Credential | None) -> bytes:
    """What goes into the container, by its standard input: build-images/source/fetcher/run.py reads it."""
    known = credential or NO_ACCESS
    values = {
        "url": fetch.url,
        "commit": fetch.commit,
        "ref": fetch.ref,
        "username": known.username,
        "password": known.password,
        **asdict(fetch.limits),
    }
    files = {"in/orders": "".join(f"{key}={value}\n" for key, value in values.items()).encode()}
    if fetch.authorities:
        files["in/authorities.pem"] = fetch.authorities.encode()
    return pack_tree(files, ())


def container_limits(limits: SourceLimits) -> Limits:
    """The work area holds what git got, a second copy of it while it is packed, and the snapshot."""
    return Limits(
        memory_bytes=10 * limits.snapshot_bytes + (128 << 20),
        disk_bytes=6 * limits.snapshot_bytes,
        time_s=limits.time_s + SLACK_S,
        log_bytes=LOG_BYTES,
        output_bytes=limits.snapshot_bytes + SLACK_BYTES,
        output_files=2,
    )


def with_newlines(content: bytes) -> bytes:
    """The reverse of `without_newlines` in build-images/source/fetcher/pack.py."""
    return content.replace(b"\1\3", b"\n").replace(b"\1\2", b"\1")


def inflate(packed: bytes, limit: int) -> bytes:
    """Raises: RefusedError when it is longer than `limit` bytes, cut short, or not deflated."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise RefusedError(f"the snapshot cannot be read: {error}") from error
    if len(content) > limit:
        raise RefusedError(f"the repository has more than {limit >> 20} MiB of files")
    if not unpacker.eof:
        raise RefusedError("the snapshot is cut short")
    return content


def _read(result: bytes) -> dict[str, str]:
    lines: Iterator[str] = iter(result.decode("utf-8", "replace").splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line)
