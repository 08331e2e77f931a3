"""One container by Docker: made, fed, read and removed.

Its three streams are held by one attached connection from before its start, so that every byte comes the moment it
is written. The engine's own copy of them (the log driver) is read where that connection is not ours: after a crash of
the runner, or of the engine.
"""

import contextlib
import datetime
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from http import HTTPStatus
from typing import Any, Self

import docker
import requests

from runners import docker_wire
from runners.docker_spec import Kind, hardening, tar_bytes
from runners.engine import End
from runners.errors import ContainerTimeoutError, EngineError, ImageMissingError

Api = Any  # docker.APIClient, whose low-level calls have no types

NOBODY = "65534:65534"
API_TIMEOUT_S = 60.0  # of one call that is no stream
STARTED = b"started\n"  # the first words of a container that has its whole tree
REMOVE_PAUSES_S = (1.0, 3.0, 10.0)  # before each further try to remove a container
PATIENCE_S = 600  # that a container waits for its tree
KILLED = 137  # 128 and SIGKILL
LATE_S = 1  # the engine may hear this much later why a container was killed

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
                network_disabled=kind.is_left_to_the_kernel,
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
    container = DockerContainer(api, identity, wire=wire, keep_bytes=tar_bytes(limits))
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
        self._is_done = False  # all of a successful build's outputs are here: there is nothing more to ask about it
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
        with translated("feeding a container"), contextlib.suppress(BrokenPipeError, ConnectionResetError):
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
        if self._is_done:
            return
        # A followed log lacks what came after its last newline, so it is read again behind what was seen.
        try:
            self._api.wait(self._id, timeout=API_TIMEOUT_S)
            again = _stream(self._api, self._id, stdout=False, stderr=True, follow=False)
            for chunk in docker_wire.without_end(again):
                yield chunk[seen:]
                seen = max(0, seen - len(chunk))
        except docker.errors.APIError as error:
            # Removed by another thread, or just being removed: that was all.
            if error.status_code not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                raise

    def _live(self) -> Iterator[bytes]:
        """Its standard error as it comes; what it gives on standard output meanwhile is kept.

        When it says that it has given all, and all is here, its end is not waited for: that takes another 30 ms.
        """
        if self._wire is None:
            followed = _stream(self._api, self._id, stdout=False, stderr=True, follow=True)
            yield from docker_wire.without_end(followed)
            return
        held = b""
        for kind, content in docker_wire.frames(self._wire._sock):  # noqa: SLF001
            if kind == docker_wire.STDOUT:
                self._output += content[: max(0, self._keep_bytes - len(self._output))]
            elif kind == docker_wire.STDERR:
                said, held = held + content, b""
                if said.endswith(docker_wire.END):
                    said, held = said[: -len(docker_wire.END)], docker_wire.END
                if said:
                    yield said
            if held and docker_wire.is_whole(self._output):
                self._is_done = True
                return
        self._is_done = docker_wire.is_whole(self._output)

    def end(self) -> End:
        if self._is_done:
            return End(exit_code=0, is_out_of_memory=False)
        with translated("waiting for a container"):
            code = int(self._api.wait(self._id, timeout=API_TIMEOUT_S)["StatusCode"])
            return End(exit_code=code, is_out_of_memory=code == KILLED and self._ran_out_of_memory())

    def _ran_out_of_memory(self) -> bool:
        """Its state says so, unless the engine heard of the end first: then only an event does, which comes after."""
        state = self._api.inspect_container(self._id)["State"]
        if state.get("OOMKilled"):
            return True
        about = {"container": self._id, "event": "oom"}
        last = datetime.datetime.fromisoformat(state["FinishedAt"]).timestamp() + LATE_S
        events = self._api.events(since=1, until=math.ceil(last), filters=about, decode=True)
        with contextlib.closing(events):
            return any(True for _ in events)

    def output(self) -> Iterator[bytes]:
        if self._is_done:
            yield bytes(self._output)
            return
        with translated("reading outputs"):
            yield from _stream(self._api, self._id, stdout=True, stderr=False, follow=False)

    def remove(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            docker_wire.close(wire)
        self._remove(self._id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def remove(api: Api, name: str, *, pause: Callable[[float], object] = time.sleep) -> str:
    """Kill and remove a container, by name or id. Answers what went wrong, or nothing; never raises.

    An engine under load may give up before the last of many processes has died (HTTP 500, "did not receive an exit
    event"), and takes the container away when it is asked again: `REMOVE_PAUSES_S` later.
    """
    said = ""
    for wait_s in (*REMOVE_PAUSES_S, 0.0):
        try:
            api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            return ""
        except docker.errors.APIError as error:
            if error.status_code == HTTPStatus.CONFLICT:  # "removal already in progress": a success of somebody else
                return ""
            said = str(error)[:500]
            pause(wait_s)
        except TROUBLE as error:
            return str(error)[:500]
        else:
            return ""
    return said


def _stream(api: Api, container: str, **which: bool) -> Generator[bytes, None, None]:
    """A log stream whose connection is closed when nobody reads on, which the SDK leaves to chance."""
    stream = api.logs(container, stream=True, **which)
    try:
        yield from stream
    finally:
        stream._response.close()  # noqa: SLF001
