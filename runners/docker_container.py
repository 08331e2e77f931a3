"""One container by Docker: made, fed, read and removed.

Its three streams are held by one attached connection from before its start, so that every byte comes the moment it
is written. The engine's own copy of them (the log driver) is read where that connection is not ours: after a crash of
the runner, or of the engine.
"""

import contextlib
import datetime
import re
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Self

import docker
import requests
from docker.types import LogConfig

from runners.contract.job import Limits
from runners.docker_runtime import ENGINES_OWN, Runtime
from runners.engine import End
from runners.errors import ContainerTimeoutError, EngineError, ImageMissingError

Api = Any  # docker.APIClient, whose low-level calls have no types

NOBODY = "65534:65534"
WORK_INODES = 65_536
API_TIMEOUT_S = 60.0  # of one call that is no stream
STARTED = b"started\n"  # the first words of a container that has its whole tree
LOG_FILES, LOG_FILE_BYTES = 4, 32 << 20  # what the engine keeps of both streams; our own limits are lower
TAR_BYTES_A_FILE = 1536  # header, padding, and a long name's share
PATIENCE_S = 600  # that a container waits for its tree
READ_BYTES = 64 << 10

_FRAME_BYTES, _STDOUT, _STDERR = 8, 1, 2  # of an attached stream: Docker Engine API, ContainerAttach
_DONE = re.compile(rb"started\nexit=0 [^\n]{1,100}\n")
_TAR_END = bytes(1024)  # two zero blocks: POSIX.1-2017, pax, ustar Interchange Format

# What the SDK raises when the engine is in trouble; requests' errors shine through it.
TROUBLE = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise ImageMissingError(doing) from error
    except TROUBLE as error:
        raise EngineError(f"Docker, {doing}: {error}"[:500]) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is fixed when a container is made: all but the job."""

    image: str  # name or digest
    runner: str
    limits: Limits
    has_network: bool
    runtime: Runtime

    @classmethod
    def of(
        cls, *, image: str, runner: str, limits: Limits, has_network: bool = False, runtime: Runtime = ENGINES_OWN
    ) -> Self:
        """The time limit is kept from outside: jobs that differ in it can use the same container."""
        untimed = replace(limits, time_s=0.0)
        return cls(image=image, runner=runner, limits=untimed, has_network=has_network, runtime=runtime)


class TakenError(EngineError):
    """There is a container of this name."""


def start(api: Api, kind: Kind, name: str, *, patience_s: int = PATIENCE_S, network: str = "none") -> "DockerContainer":
    """A new container that waits for its tree. Raises: TakenError, ImageMissingError, EngineError."""
    limits = kind.limits
    try:
        with translated(kind.image):
            created = api.create_container(
                kind.image,
                name=name,
                user=NOBODY,
                stdin_open=True,
                environment={
                    "KILN_LOG_BYTES": str(limits.log_bytes),
                    "KILN_OUTPUT_BYTES": str(tar_bytes(limits)),
                    "KILN_PATIENCE_S": str(patience_s),
                },
                labels={"kiln.runner": kind.runner},
                host_config=api.create_host_config(**hardening(limits, kind.runtime, network=network)),
            )
    except EngineError as error:
        if isinstance(error.__cause__, docker.errors.APIError) and error.__cause__.status_code == HTTPStatus.CONFLICT:
            raise TakenError(str(error)) from error
        raise
    identity = str(created["Id"])
    try:
        with translated(kind.image):
            wire = api.attach_socket(identity, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    except EngineError:
        remove(api, identity)
        raise
    container = DockerContainer(api, identity, wire=wire, keep_bytes=tar_bytes(limits) + len(_TAR_END))
    try:
        with translated(kind.image):
            api.start(identity)
    except EngineError:
        container.remove()
        raise
    return container


def resume(api: Api, name: str, runner: str, *, now: Callable[[], datetime.datetime]) -> "DockerContainer | None":
    """None when it never got its tree, is not this runner's, or has just gone."""
    try:
        found = api.inspect_container(name)
        if found["Config"]["Labels"].get("kiln.runner") != runner:
            return None
        with contextlib.closing(_stream(api, name, stdout=True, stderr=False, timestamps=True, follow=False)) as output:
            at, _, said = next(output, b"").partition(b" ")
        if not said.startswith(STARTED):
            return None
    except docker.errors.NotFound:
        return None
    except TROUBLE as error:
        raise EngineError(f"Docker, resuming a container: {error}"[:500]) from error
    # Since it had its tree, not since its start: it may have waited for it.
    begun = datetime.datetime.fromisoformat(at[:19].decode() + "+00:00")
    return DockerContainer(api, found["Id"], age_s=max(0.0, (now() - begun).total_seconds()))


class DockerContainer:
    """`runners.engine.Container`."""

    def __init__(self, api: Api, identity: str, *, wire: Any = None, keep_bytes: int = 0, age_s: float = 0.0) -> None:
        self._api = api
        self._id = identity  # not the name, which may be another container's later
        self._wire = wire  # the attached streams; None when they are not ours
        self._keep_bytes = keep_bytes
        self._age_s = age_s  # when we met it
        self._output = bytearray()
        self._is_resumed = wire is None
        self._remove: Callable[[str], object] = lambda identity: remove(api, identity)

    @property
    def id(self) -> str:
        return self._id

    @property
    def is_resumed(self) -> bool:
        return self._is_resumed

    @property
    def is_waiting(self) -> bool:
        """Whether it still waits for its tree, as far as can be told without asking: its streams are silent."""
        try:
            self._wire._sock.setblocking(False)  # noqa: SLF001  # the SDK hands out a reader around the socket
            try:
                self._wire._sock.recv(1)  # noqa: SLF001
            finally:
                self._wire._sock.setblocking(True)  # noqa: SLF001
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def removed_by(self, act: Callable[[str], object]) -> Self:
        """Let `act` remove it, given its id, when it is left."""
        self._remove = act
        return self

    def feed(self, tree: bytes) -> None:
        # A container that died leaves a broken pipe here, and tells why when its end is asked for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), translated("feeding a container"):
            self._wire._sock.settimeout(None)  # noqa: SLF001
            self._wire._sock.sendall(tree)  # noqa: SLF001

    def log(self, *, timeout_s: float) -> Iterator[bytes]:
        is_over = threading.Event()

        def stop() -> None:
            is_over.set()
            with contextlib.suppress(*TROUBLE):
                self._api.kill(self._id)

        watchdog = threading.Timer(max(0.0, timeout_s - self._age_s), stop)
        watchdog.daemon = True
        watchdog.start()
        try:
            with translated("reading a log"):
                yield from self._whole_log()
        finally:
            watchdog.cancel()
        if is_over.is_set():
            raise ContainerTimeoutError(timeout_s)

    def _whole_log(self) -> Iterator[bytes]:
        seen = 0
        for chunk in self._live():
            seen += len(chunk)
            yield chunk
        if self._is_done():
            return
        # A followed log lacks what came after its last newline, so it is read again behind what was seen.
        try:
            self._api.wait(self._id, timeout=API_TIMEOUT_S)
            for chunk in _stream(self._api, self._id, stdout=False, stderr=True, follow=False):
                yield chunk[seen:]
                seen = max(0, seen - len(chunk))
        except docker.errors.APIError as error:
            # Removed by another thread, or just being removed: that was all.
            if error.status_code not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                raise

    def _live(self) -> Iterator[bytes]:
        """Its standard error as it comes; what it gives on standard output meanwhile is kept."""
        if self._wire is None:
            yield from _stream(self._api, self._id, stdout=False, stderr=True, follow=True)
            return
        for kind, content in _frames(self._wire._sock):  # noqa: SLF001
            if kind == _STDERR:
                yield content
            elif kind == _STDOUT:
                self._output += content[: max(0, self._keep_bytes - len(self._output))]

    def _is_done(self) -> bool:
        """Whether all of a successful build's outputs are here: then there is nothing more to ask about it."""
        return self._output.endswith(_TAR_END) and _DONE.match(self._output) is not None

    def end(self) -> End:
        if self._is_done():
            return End(exit_code=0, is_out_of_memory=False)
        with translated("waiting for a container"):
            code = int(self._api.wait(self._id, timeout=API_TIMEOUT_S)["StatusCode"])
            state = self._api.inspect_container(self._id)["State"] if code else {}
        return End(exit_code=code, is_out_of_memory=bool(state.get("OOMKilled")))

    def output(self) -> Iterator[bytes]:
        if self._is_done():
            yield bytes(self._output)
            return
        with translated("reading outputs"):
            yield from _stream(self._api, self._id, stdout=True, stderr=False, follow=False)

    def remove(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            _close(wire)
        self._remove(self._id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def tar_bytes(limits: Limits) -> int:
    return limits.output_bytes + limits.output_files * TAR_BYTES_A_FILE + (64 << 10)


def hardening(limits: Limits, runtime: Runtime, *, network: str) -> dict[str, Any]:
    """What every container gets, whoever asks: docs/decisions/0003-work-area.md has the reasons."""
    area = f"size={limits.disk_bytes},nr_inodes={WORK_INODES},uid=65534,gid=65534,mode=0700,nosuid,nodev"
    return {
        "network_mode": network,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "ipc_mode": "none",
        "pids_limit": runtime.pids(limits),
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,  # the same number: no swap
        "nano_cpus": int(limits.cpus * 1e9),
        # Where nothing is mounted at /tmp, gVisor mounts something to write to.
        "tmpfs": {"/work": area, "/tmp": "ro,size=4k"},  # noqa: S108  # read-only
        **runtime.options,
        "log_config": LogConfig(
            type="local", config={"max-size": str(LOG_FILE_BYTES), "max-file": str(LOG_FILES), "compress": "false"}
        ),
    }


def remove(api: Api, name: str) -> str:
    """Kill and remove a container, by name or id. Answers what went wrong, or nothing; never raises."""
    try:
        api.remove_container(name, force=True, v=True)
    except docker.errors.NotFound:
        return ""
    except TROUBLE as error:
        # "removal already in progress" is a success of somebody else
        if not (isinstance(error, docker.errors.APIError) and error.status_code == HTTPStatus.CONFLICT):
            return str(error)[:500]
    return ""


def _frames(connection: Any) -> Iterator[tuple[int, bytes]]:
    """Pieces of an attached stream as they come: which stream it is, and content. A frame may come in several."""
    pending, kind, left = b"", 0, 0
    while chunk := connection.recv(READ_BYTES):
        pending += chunk
        while pending:
            if not left:
                if len(pending) < _FRAME_BYTES:
                    break
                kind, left = pending[0], int.from_bytes(pending[4:_FRAME_BYTES], "big")
                pending = pending[_FRAME_BYTES:]
            content, pending = pending[:left], pending[left:]
            left -= len(content)
            if content:
                yield kind, content


def _stream(api: Api, container: str, **which: bool) -> Generator[bytes, None, None]:
    """A log stream whose connection is closed when nobody reads on, which the SDK leaves to chance."""
    stream = api.logs(container, stream=True, **which)
    try:
        yield from stream
    finally:
        stream._response.close()  # noqa: SLF001


def _close(wire: Any) -> None:
    """Close a hijacked connection for real: the SDK's reader, the socket under it, the response that holds both."""
    connection, response = wire._sock, wire._response  # noqa: SLF001  # the SDK offers no other way
    response.close()
    wire.close()
    connection.close()
