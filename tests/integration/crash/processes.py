"""Kiln's processes, each held by hand, so that each can be killed on its own."""

import contextlib
import datetime
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

from deploy.demo.parts import ROOT, clean_environment, free_port
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.instance import Instance, load_instance
from service.domain.device import DeviceId
from service.domain.notice import Order
from service.domain.release import ReleaseDigest

STOP_S = 20.0


class Processes:
    """Broker, service and runner over one data folder."""

    def __init__(self, data: pathlib.Path) -> None:
        self.data = data
        self.port, self.mqtt_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.instance: Instance = load_instance(data)
        self._stack = ExitStack()
        self.settings: dict[str, str] = {}  # of the service, beside those that all of these have
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def close(self) -> None:
        """A runner that is asked to end leaves no container; one that is killed leaves them to its successor."""
        if runner := self.running.get("runner"):
            runner.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                runner.wait(STOP_S)
        for name in list(self.running):
            self.kill(name)

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        environment = {**clean_environment(), "KILN_DATA": str(self.data), "KILN_MQTT_PORT": str(self.mqtt_port)}
        if name == "service":
            environment |= {"KILN_PORT": str(self.port), **self.settings}
        if name == "runner":
            environment = {
                **clean_environment(),
                "KILN_DATABASE_URL": f"sqlite:///{self.data / 'kiln.db'}",
                "KILN_RUNNER_NAME": f"{self.instance.id}-runner-1",
            }
        with (self.data / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.running[name] = process
        return process

    def broker(self) -> None:
        self.start("broker", "-m", "service", "broker")

    def service(self, *, until: tuple[str, str, pathlib.Path] | None = None) -> None:
        """Start it; returns when it answers. With `until`, it kills itself at that step and phase, once."""
        if until is None:
            self.start("service", "-m", "service", "service")
        else:
            step, phase, mark = until
            self.start("service", "-m", "tests.integration.crash.killed_service", step, phase, str(mark))
        # A recovered build may bring it to the kill before anybody could ask.
        wait(lambda: self.answers() or self.died("service"), "the service to answer", log=self.data / "service.log")

    def runner(self) -> None:
        self.start("runner", "-m", "runners", "serve")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def died(self, name: str) -> bool:
        """By SIGKILL, not by a mistake of ours."""
        code = self.running[name].poll()
        assert code in (None, -signal.SIGKILL), (self.data / f"{name}.log").read_text()[-3000:]
        return code is not None

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What their database holds."""
        connection = sqlite3.connect(self.data / "kiln.db", timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10):
                return True
        except OSError:
            return False


def wait(look: Callable[[], bool], what: str, *, seconds: float = 90.0, log: pathlib.Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}\n{log.read_text()[-4000:] if log else ''}")
        time.sleep(0.02)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251  # what the processes go by


def ordered(data: pathlib.Path, name: str, seq: int) -> bytes:
    """As any flow orders: in the database, and from there to the broker. What the device is told."""
    notice = f"order.{seq}".encode()
    order = Order(
        seq=seq, release=ReleaseDigest("a" * 64), config="", notice=notice, until=now() + datetime.timedelta(days=90)
    )
    engine = open_database(f"sqlite:///{data / 'kiln.db'}")
    assert DatabaseFleet(engine).desire(DeviceId(name), order)
    engine.dispose()
    return notice
