"""The real parts of the story: a Kiln, a bare git repository with a hook, a virtual device."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Self

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 90.0  # for Kiln to answer
STOP_S = 15.0
OURS = range(15_000, 32_000)  # ports


def free_port() -> int:
    """One that nobody has now. The kernel gives those of 32,768 and above to connections that go out meanwhile."""
    while True:
        port = secrets.choice(OURS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment() -> dict[str, str]:
    """Without settings of another Kiln, and without a git that is in the middle of something."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KILN_", "GIT_"))}


class Kiln:
    """`kiln serve` as a child process: service, one runner, and the broker of the settings."""

    def __init__(self, data: pathlib.Path, settings: Mapping[str, str]) -> None:
        self.data = data
        self.port, self.mqtt_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "KILN_DATA": str(data),
            "KILN_PORT": str(self.port),
            "KILN_MQTT_PORT": str(self.mqtt_port),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers. Raises: RuntimeError with the end of its log."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "kiln.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                env={**clean_environment(), **self.settings},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is None and self._answers():
                return
            time.sleep(0.05)
        tail = (self.data / "kiln.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"Kiln did not start within {START_S:g} s:\n{tail}")

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET, or POST when there is a body. Raises: RuntimeError with the service's sentence."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode(errors='replace')}") from error

    def follow(self, path: str, line: Callable[[str], None]) -> None:
        """Hand on each line of a live log as it comes."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            for raw in answer:
                line(raw.decode(errors="replace").rstrip("\n"))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=1):
                return True
        except OSError:
            return False


class Repository:
    """A bare repository, as it stands on somebody's git server, and a clone to commit in."""

    def __init__(self, folder: pathlib.Path, example: pathlib.Path) -> None:
        self.bare, self.work = folder / "blink.git", folder / "blink"
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare), where=ROOT)
        shutil.copytree(example, self.work, ignore=shutil.ignore_patterns("__pycache__"))
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("config", "user.name", "Ada")
        self._git("config", "user.email", "ada@example.org")
        self._git("remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def install_hook(self, url: str, secret: str) -> None:
        self._git("config", "kiln.url", url, where=self.bare)
        self._git("config", "kiln.secret", secret, where=self.bare)
        hook = self.bare / "hooks" / "post-receive"
        shutil.copy(ROOT / "deploy" / "hooks" / "post-receive", hook)
        hook.chmod(0o755)

    def set_version(self, version: str) -> None:
        main = self.work / "src" / "main.py"
        text, count = re.subn(r'^VERSION = ".*"$', f'VERSION = "{version}"', main.read_text(), flags=re.MULTILINE)
        if count != 1:
            raise RuntimeError(f"{main} has no line VERSION = ...")
        main.write_text(text)

    def commit(self, message: str) -> str:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        return self._git("rev-parse", "HEAD").strip()

    def push(self) -> str:
        """What the hook said, as git shows it to who pushes."""
        return self._git("push", "--quiet", "--set-upstream", "origin", "main", both=True)

    def push_as(self, ref: str) -> str:
        """What is committed, to this ref of the bare repository."""
        return self._git("push", "--quiet", "--force", "origin", f"HEAD:{ref}", both=True)

    def heads(self) -> dict[str, str]:
        """Every branch and tag but `main`, and its commit."""
        lines = self._git(
            "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags", where=self.bare
        )
        found = dict(line.split(" ", 1) for line in lines.splitlines())
        return {ref: commit for ref, commit in found.items() if ref != "refs/heads/main"}

    def _git(self, *arguments: str, where: pathlib.Path | None = None, both: bool = False) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=where or self.work,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"git {arguments[0]}: {done.stderr.strip()}")
        return done.stdout + done.stderr if both else done.stdout


class Device:
    """A virtual device: MicroPython with Kiln's agent on a littlefs in a file. It keeps what it prints."""

    def __init__(self, flash: pathlib.Path, *files: str) -> None:
        """`files` are what `device.virtual make` takes."""
        self.flash = flash
        self.lines: list[tuple[float, str]] = []  # (monotonic seconds, line)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        subprocess.run(
            [sys.executable, "-m", "device.virtual", "make", str(flash), *files],
            cwd=ROOT,
            env=clean_environment(),
            check=True,
        )

    @classmethod
    def enrolled(cls, flash: pathlib.Path, *, device: dict[str, Any], trust: dict[str, Any]) -> Self:
        """With what enrolment answers."""
        files = []
        for name, value in (("device", device), ("trust", trust)):
            path = flash.with_name(f"{flash.stem}-{name}.json")
            path.touch(mode=0o600)
            path.write_text(json.dumps(value))
            files.append(f"--{name}={path}")
        return cls(flash, *files)

    def power_on(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device.virtual", "run", str(self.flash)],
            cwd=ROOT,
            env={**clean_environment(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def power_off(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def printed(self, text: str, *, since: float = 0.0) -> tuple[float, str] | None:
        """The first line with this text that was printed after that moment."""
        return next(((at, line) for at, line in list(self.lines) if at >= since and text in line), None)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append((time.monotonic(), line.rstrip("\n")))
