"""`kiln serve`: the whole of Kiln on one box, as separate processes, each restarted when it dies.

Keys and the Docker socket never share a process, so the service, the runners and the broker are three kinds of
children; a child that crashes or is killed comes back and continues where its last checkpoint was.
"""

import contextlib
import fcntl
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from service.adapters.instance import Instance
from service.domain.errors import BadInputError, ConflictError
from service.settings import Settings

logger = logging.getLogger("kiln.supervisor")

RESTART_AFTER_S = 0.3  # doubled for each quick death in a row
MAX_RESTART_AFTER_S = 30.0
QUICK_DEATH_S = 10.0
READY = "KILN_READY"
STOP_S = 10.0  # from SIGTERM to SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    says_ready: bool = False  # over the file descriptor that READY names


# Without the address a broker that listens everywhere does not take the settings for good.
OF_THE_BROKER = ("KILN_DATA", "KILN_HOST", "KILN_PORT", "KILN_BASE_URL", "KILN_PARENT")


def _is_for_the_broker(name: str) -> bool:
    return name in OF_THE_BROKER or name.startswith(("KILN_MQTT_", "KILN_HOME_ASSISTANT"))


def children(settings: Settings, instance: Instance, environment: Mapping[str, str]) -> list[Child]:
    """What `kiln serve` runs with these settings. Only the service is given the operator's secrets."""
    python = (sys.executable, "-m")
    plain = {
        name: value
        for name, value in environment.items()
        if not name.startswith("KILN_") and name != settings.sealing_variable
    }
    everything = {**environment, "KILN_PARENT": str(os.getpid())}
    service = (*python, "service", "service")
    found = [Child(name="service", command=service, environment=everything, says_ready=True)]
    if settings.broker == "embedded":
        broker = {name: everything[name] for name in everything if _is_for_the_broker(name)}
        found.insert(0, Child(name="broker", command=(*python, "service", "broker"), environment={**plain, **broker}))
    for number in range(1, settings.runners + 1):
        runner = {
            "KILN_PARENT": str(os.getpid()),
            "KILN_DATABASE_URL": settings.database,
            "KILN_RUNNER_NAME": f"{instance.id}-runner-{number}",
            "KILN_RUNNER_JOBS": str(settings.runner_jobs),
            "KILN_RUNNER_WARM": str(settings.runner_warm),
            "KILN_RUNTIME": settings.runtime,
        }
        found.append(
            Child(name=f"runner-{number}", command=(*python, "runners", "serve"), environment={**plain, **runner})
        )
    return found


class Supervisor:
    """Runs children until told to stop. `ready` is called once, when the service listens for the first time."""

    def __init__(self, found: list[Child], *, ready: Callable[[], None] = lambda: None) -> None:
        self._children = found
        self._ready = ready
        self._told, self._tell = os.pipe()
        self._stopping = threading.Event()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Returns after SIGTERM or SIGINT, when every child has ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._stopping.set())
        threads = [threading.Thread(target=self._keep, args=(child,)) for child in self._children]
        waiting = threading.Thread(target=self._wait_until_ready)
        for thread in (*threads, waiting):
            thread.start()
        # A plain wait would hold the signals back until it ends.
        while not self._stopping.wait(0.5):
            pass
        self._stop_children()
        for thread in threads:
            thread.join()
        os.close(self._tell)  # the last end of it
        waiting.join()

    def _wait_until_ready(self) -> None:
        with os.fdopen(self._told, "rb", buffering=0) as told:
            if told.read(1):
                with contextlib.suppress(OSError):  # nobody reads it: a service that is started again needs this pipe
                    self._ready()
            while told.read(1):  # of a service that was started again; the pipe is never full
                pass

    def _keep(self, child: Child) -> None:
        pause = RESTART_AFTER_S
        while not self._stopping.is_set():
            started = time.monotonic()
            # Its own session: Ctrl-C reaches us alone, and we stop the children in order.
            process = subprocess.Popen(
                child.command,
                env={**child.environment, **({READY: str(self._tell)} if child.says_ready else {})},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(self._tell,) if child.says_ready else (),
            )
            self._running[child.name] = process
            code = process.wait()
            if self._stopping.is_set():
                return
            pause = (
                RESTART_AFTER_S if time.monotonic() - started > QUICK_DEATH_S else min(2 * pause, MAX_RESTART_AFTER_S)
            )
            logger.warning("child ended, starting it again", extra={"child": child.name, "code": code, "in_s": pause})
            self._stopping.wait(pause)

    def _stop_children(self) -> None:
        # Each stands at a checkpoint at any time; the broker last only spares the others some complaints.
        for names in (set(self._running) - {"broker"}, set(self._running) & {"broker"}):
            processes = [self._running[name] for name in names]
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            deadline = time.monotonic() + STOP_S
            for process in processes:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()


@contextlib.contextmanager
def only_one(settings: Settings, what: str):  # type: ignore[no-untyped-def]  # a context manager of nothing
    """Two services on one database would take each other's builds for their own. Raises: ConflictError."""
    with _opened(settings.data / f"{what}.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(f"Kiln runs already with the data in {settings.data}") from error
        yield


def _opened(path: pathlib.Path) -> IO[str]:
    """Raises: BadInputError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.open("w")
    except OSError as error:
        raise BadInputError(f"{error.filename or path} cannot be used: {error.strerror}") from error
