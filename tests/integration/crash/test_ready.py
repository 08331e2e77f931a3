"""When `kiln serve` says where it is: not before whoever reads it is answered there."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from deploy.demo.parts import ROOT, clean_environment
from tests.servers import free_port

START_S = 120.0  # on a machine that has other work

Started = tuple[subprocess.Popen[str], int, list[str]]


@pytest.fixture
def kiln(tmp_path: pathlib.Path) -> Iterator[Started]:
    """`kiln serve` without runners, its port, and what it prints, line by line."""
    process, port = start(tmp_path)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda out: lines.extend(iter(out.readline, "")), args=(process.stdout,))
    reader.start()
    yield process, port, lines
    process.terminate()
    process.wait(START_S)
    reader.join()
    process.stdout.close()


def start(tmp_path: pathlib.Path) -> tuple[subprocess.Popen[str], int]:
    """And its port."""
    port = free_port()
    settings = {"KILN_DATA": str(tmp_path / "data"), "KILN_PORT": str(port), "KILN_MQTT_PORT": str(free_port())}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            env={**clean_environment(), **settings, "KILN_RUNNERS": "0", "KILN_ADMIN_TOKEN": "sesame"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    return process, port


def is_said(lines: list[str], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and len(lines) < 2:
        time.sleep(0.005)
    return len(lines) >= 2


def answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        return bool(answer.status == 200)


def test_the_address_is_printed_when_it_answers_and_once(kiln: Started) -> None:
    process, port, lines = kiln

    assert is_said(lines, within_s=START_S)
    assert answers(port)
    assert lines == [f"Kiln: http://127.0.0.1:{port}\n", "admin token: sesame\n"]

    kill_service(process, port)
    assert answers(port)
    assert len(lines) == 2


def test_a_service_comes_back_where_nobody_reads_what_is_said(tmp_path: pathlib.Path) -> None:
    process, port = start(tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    try:
        wait_for(lambda: listens(port))
        time.sleep(1)  # for the line that nobody reads
        kill_service(process, port)
        assert answers(port)
    finally:
        process.terminate()
        process.wait(START_S)


def kill_service(process: subprocess.Popen[str], port: int) -> None:
    """Until the next one listens."""
    killed = service_of(process.pid)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: service_of(process.pid) not in (0, killed) and listens(port))


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_where_another_listens_nothing_is_said(kiln: Started) -> None:
    """The service is not started yet; somebody takes its port."""
    process, port, lines = kiln

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert not is_said(lines, within_s=8)
        assert process.poll() is None


def service_of(supervisor: int) -> int:
    """The process of the service; 0 for none."""
    for name in pathlib.Path(f"/proc/{supervisor}/task/").glob("*/children"):
        for child in name.read_text().split():
            command = pathlib.Path(f"/proc/{child}/cmdline")
            if command.exists() and command.read_bytes().split(b"\0")[-2:-1] == [b"service"]:
                return int(child)
    return 0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
