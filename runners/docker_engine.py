"""Containers by Docker: the only module that knows its SDK."""

import contextlib
import datetime
import logging
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, Self

import docker
import requests
from docker.types import LogConfig

from runners.contract.job import Limits
from runners.engine import ContainerSpec, End, Image
from runners.errors import ContainerTimeoutError, EngineError, ImageMissingError

Api = Any  # docker.APIClient, whose low-level calls have no types

logger = logging.getLogger("kiln.runner")

NOBODY = "65534:65534"
WORK_INODES = 65_536
API_TIMEOUT_S = 60.0  # of one call that is no stream
START_TRIES = 3  # a container of this name may vanish or appear between two calls
STARTED = b"started\n"  # the first words of a container that has its whole tree
LOG_FILES, LOG_FILE_BYTES = 4, 32 << 20  # what the engine keeps of both streams; our own limits are lower
TAR_BYTES_A_FILE = 1536  # header, padding, and a long name's share

# What the SDK raises when the engine is in trouble; requests' errors shine through it.
TROUBLE = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise ImageMissingError(doing) from error
    except TROUBLE as error:
        raise EngineError(f"Docker, {doing}: {error}"[:500]) from error


class DockerContainer:
    """`runners.engine.Container`."""

    def __init__(self, api: Api, identity: str, *, is_resumed: bool, age_s: float, stdin: Any = None) -> None:
        self._api = api
        self._id = identity  # not the name, which may be another container's later
        self._is_resumed = is_resumed
        self._age_s = age_s  # when we met it
        self._stdin = stdin

    @property
    def is_resumed(self) -> bool:
        return self._is_resumed

    def feed(self, tree: bytes) -> None:
        # A container that died leaves a broken pipe here, and tells why when its end is asked for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), _translated("feeding a container"):
            self._stdin._sock.sendall(tree)  # noqa: SLF001  # the SDK hands out a reader around the socket

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
            with _translated("reading a log"):
                yield from self._whole_log()
        finally:
            watchdog.cancel()
        if is_over.is_set():
            raise ContainerTimeoutError(timeout_s)

    def _whole_log(self) -> Iterator[bytes]:
        seen = 0
        for chunk in _stream(self._api, self._id, stdout=False, stderr=True, follow=True):
            seen += len(chunk)
            yield chunk
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

    def end(self) -> End:
        with _translated("waiting for a container"):
            code = int(self._api.wait(self._id, timeout=API_TIMEOUT_S)["StatusCode"])
            state = self._api.inspect_container(self._id)["State"] if code else {}
        return End(exit_code=code, is_out_of_memory=bool(state.get("OOMKilled")))

    def output(self) -> Iterator[bytes]:
        with _translated("reading outputs"):
            yield from _stream(self._api, self._id, stdout=True, stderr=False, follow=False)

    def remove(self) -> None:
        stdin, self._stdin = self._stdin, None
        if stdin is not None:
            _close(stdin)
        _remove(self._api, self._id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class DockerEngine:
    """`runners.engine.Engine`."""

    def __init__(self, api: Api, *, now: Callable[[], datetime.datetime]) -> None:
        self._api = api
        self._now = now

    @classmethod
    def connect(cls, *, now: Callable[[], datetime.datetime]) -> Self:
        """Raises: EngineError when no engine answers."""
        with _translated("connecting: is it running?"):
            client = docker.from_env(timeout=int(API_TIMEOUT_S))
            client.ping()
        return cls(client.api, now=now)

    def close(self) -> None:
        """Close all connections. Containers stay."""
        self._api.close()

    def image(self, name: str) -> Image:
        with _translated(name):
            found = self._api.inspect_image(name)
        return Image(name=name, digest=str(found["Id"]), labels=dict(found["Config"]["Labels"] or {}))

    def start(self, spec: ContainerSpec) -> DockerContainer:
        for _ in range(START_TRIES):
            if fresh := self._create(spec):
                return fresh
            if resumed := self._resume(spec):
                return resumed
            _remove(self._api, spec.name)
        raise EngineError(f"the container name {spec.name} stays taken")

    def jobs(self, runner: str) -> set[str]:
        with _translated("listing containers"):
            found = self._api.containers(all=True, filters={"label": f"kiln.runner={runner}"})
        return {str(each["Labels"]["kiln.job"]) for each in found}

    def remove(self, job: str) -> None:
        _remove(self._api, f"kiln-{job}")

    def _create(self, spec: ContainerSpec) -> DockerContainer | None:
        """None when the name is taken."""
        limits = spec.limits
        try:
            with _translated(spec.image):
                created = self._api.create_container(
                    spec.image,
                    name=spec.name,
                    user=NOBODY,
                    stdin_open=True,
                    environment={
                        "KILN_LOG_BYTES": str(limits.log_bytes),
                        "KILN_OUTPUT_BYTES": str(_tar_bytes(limits)),
                    },
                    labels={"kiln.runner": spec.runner, "kiln.job": spec.job},
                    host_config=self._api.create_host_config(**_hardening(limits, has_network=spec.has_network)),
                )
        except EngineError as error:
            if isinstance(error.__cause__, docker.errors.APIError) and error.__cause__.status_code == 409:
                return None
            raise
        try:
            with _translated(spec.image):
                stdin = self._api.attach_socket(created["Id"], params={"stdin": 1, "stream": 1})
        except EngineError:
            _remove(self._api, created["Id"])
            raise
        container = DockerContainer(self._api, created["Id"], is_resumed=False, age_s=0.0, stdin=stdin)
        try:
            with _translated(spec.image):
                self._api.start(created["Id"])
        except EngineError:
            container.remove()
            raise
        return container

    def _resume(self, spec: ContainerSpec) -> DockerContainer | None:
        """None when it never got its tree, is not this runner's, or has just gone."""
        try:
            found = self._api.inspect_container(spec.name)
            if found["Config"]["Labels"].get("kiln.runner") != spec.runner:
                return None
            if not self._api.logs(spec.name, stdout=True, stderr=False).startswith(STARTED):
                return None
        except docker.errors.NotFound:
            return None
        except TROUBLE as error:
            raise EngineError(f"Docker, resuming a container: {error}"[:500]) from error
        started = datetime.datetime.fromisoformat(found["State"]["StartedAt"][:19] + "+00:00")
        age_s = (self._now() - started).total_seconds()
        return DockerContainer(self._api, found["Id"], is_resumed=True, age_s=max(0.0, age_s))


def _tar_bytes(limits: Limits) -> int:
    return limits.output_bytes + limits.output_files * TAR_BYTES_A_FILE + (64 << 10)


def _hardening(limits: Limits, *, has_network: bool) -> dict[str, Any]:
    """What every container gets, whoever asks: docs/decisions/0003-work-area.md has the reasons."""
    area = f"size={limits.disk_bytes},nr_inodes={WORK_INODES},uid=65534,gid=65534,mode=0700,nosuid,nodev"
    return {
        "network_mode": "bridge" if has_network else "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "ipc_mode": "none",
        "pids_limit": limits.pids,
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,  # the same number: no swap
        "nano_cpus": int(limits.cpus * 1e9),
        "tmpfs": {"/work": area},
        "log_config": LogConfig(
            type="local", config={"max-size": str(LOG_FILE_BYTES), "max-file": str(LOG_FILES), "compress": "false"}
        ),
    }


def _stream(api: Api, container: str, **which: bool) -> Iterator[bytes]:
    """A log stream whose connection is closed when nobody reads on, which the SDK leaves to chance."""
    stream = api.logs(container, stream=True, **which)
    try:
        yield from stream
    finally:
        stream._response.close()  # noqa: SLF001


def _close(stdin: Any) -> None:
    """Close a hijacked connection for real: the SDK's reader, the socket under it, the response that holds both."""
    connection, response = stdin._sock, stdin._response  # noqa: SLF001  # the SDK offers no other way
    response.close()
    stdin.close()
    connection.close()


def _remove(api: Api, name: str) -> None:
    try:
        api.remove_container(name, force=True, v=True)
    except docker.errors.NotFound:
        pass
    except TROUBLE as error:
        # "removal already in progress" is a success of somebody else
        if not (isinstance(error, docker.errors.APIError) and error.status_code == 409):
            logger.warning("container not removed", extra={"container": name, "error": str(error)[:500]})
