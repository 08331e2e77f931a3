"""A board between a real broker and a small HTTP server, for whole lives of a device."""

import json
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from device.virtual import flash as flashing, launch
from tests.fakes.releases import FakeRelease, sign_desired
from tests.fakes.signing import trust
from tests.integration.device.apps import app
from tests.integration.device.parts import TOKEN, WAIT_S, Broker, Store, until

FIRST = app("5.0.0")


class Board:
    """A virtual device; `lines` is what it printed."""

    def __init__(self, folder: Path, broker: Broker, store: Store) -> None:
        self.flash = folder / "flash.bin"
        self.lines: list[str] = []
        self.heapsize = "256k"
        self.micropython: str | None = None  # the usual one, with words of 64 bits
        self.frozen = False  # whether that has the agent in it
        self.device: dict[str, Any] = {
            "id": "d1",
            "token": TOKEN,
            "board": "unix",
            "repo": "local/blink",
            "base": f"http://127.0.0.1:{store.port}",
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "confirm_after_s": 0.2,
            "connect_s": 5,
            "desired_s": 0.5,
            "crash_pause_s": 0.5,
        }
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._running = False
        self._cut, self._torn = 0, False
        self.watched = False  # a watchdog of the board's own may kill it, and it starts again

    def make(self, **options: Any) -> None:
        options = {"size_bytes": 5 << 17, **options}
        flashing.make(self.flash, device=self.device, trust=trust(), **options)

    def switch_on(self, *, cut: int = 0, torn: bool = False) -> None:
        """Power on; the power fails once, at flash operation `cut` of a start, and comes back."""
        self._running = True
        self._cut, self._torn = cut, torn
        ready = threading.Event()
        # The process dies with the thread that starts it, so that thread is the one that waits.
        self._thread = threading.Thread(target=self._live, args=(ready,))
        self._thread.start()
        ready.wait(WAIT_S)

    def switch_off(self) -> None:
        self._running = False
        if self._process is not None:
            self._process.kill()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.switch_off()
        print("\n".join(self.lines))  # pytest shows it beside a failure

    def printed(self, text: str, *, times: int = 1) -> int:
        """Wait until so many lines hold it. Answers how many do."""

        def count() -> int:
            found = sum(text in line for line in list(self.lines))
            return found if found >= times else 0

        try:
            return int(until(count))
        except AssertionError:
            raise AssertionError(f"no {text!r} in:\n" + "\n".join(self.lines)) from None

    def state(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(flashing.cat(self.flash, "kiln/state.json"))
        return value

    def put(self, files: Mapping[str, bytes | str]) -> None:
        """Write files onto the flash of a board that is off, by path from the root."""
        with tempfile.TemporaryDirectory() as folder:
            for path, content in files.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content if isinstance(content, bytes) else content.encode())
            flashing.put(self.flash, Path(folder))

    def put_device(self, **changes: Any) -> None:
        """Write its device.json anew, with these changes."""
        self.put({"kiln/device.json": json.dumps({**self.device, **changes})})

    def spoil(self, path: str) -> None:
        """Remove a file from the flash of a board that is off."""
        flashing.remove(self.flash, path)

    def _live(self, ready: threading.Event) -> None:
        while self._running:
            cut = self._cut
            options = {"heapsize": self.heapsize, "cut": cut, "torn": self._torn}
            with launch.start(self.flash, output=subprocess.PIPE, micropython=self.micropython, **options) as process:
                self._process = process
                ready.set()
                if process.stdout is not None:
                    self.lines.extend(line.rstrip("\n") for line in process.stdout)
            if cut and process.returncode == -signal.SIGKILL and self._running:
                self._cut = 0
                self.lines.append("[power cut]")
            elif self.watched and process.returncode == -signal.SIGKILL:
                self.lines.append("[watchdog]")
            elif process.returncode != launch.RESET_EXIT:
                self.lines.append(f"[ended with {process.returncode}]")
                return


class Bench:
    """Broker, store and board together."""

    def __init__(self, folder: Path) -> None:
        self.broker = Broker(folder)
        self.store = Store()
        self.board = Board(folder, self.broker, self.store)

    def reset(self) -> None:
        """Forget what an earlier test ordered, reported and spoilt."""
        until(self.broker.connected, what="the test's own connection")
        self.broker.desire(b"")
        self.broker.reports.clear()
        self.broker.logs.clear()
        self.store.reports.clear()
        self.store.requests.clear()
        self.store.bundles.clear()
        self.store.packs.clear()
        self.store.older_packs.clear()
        self.store.asked_packs.clear()
        self.store.forget_keys()
        self.store.rude = None
        self.store.desired = b""
        self.store.polls = 0

    def desire(self, release: FakeRelease, *, seq: int, **changes: Any) -> FakeRelease:
        self.store.add(release)
        self.broker.desire(sign_desired(release, seq=seq, **changes))
        return release

    def settle(self, release: FakeRelease) -> None:
        """Switch the board on until it runs this release, under seq 1, and somebody heard of it; then off."""
        self.board.switch_on()
        # Of the store's day, for certain: under load the answer to the question for the time may come too late.
        self.desire(release, seq=1, issued=self.store.now)
        self.broker.reported("confirmed", release=release.digest)
        until(lambda: self.board.state()["outbox"] is None, what="the outcome to be acknowledged")
        self.board.switch_off()

    def close(self) -> None:
        self.board.close()
        self.store.close()
        self.broker.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Broker and store of all tests here, and a board that took FIRST under seq 1.

    A module's FLASH_BYTES is the size of its board's flash.
    """
    made = Bench(tmp_path_factory.mktemp("bench"))
    try:
        made.board.make(size_bytes=getattr(request.module, "FLASH_BYTES", 5 << 17))
        made.settle(FIRST)
        yield made
    finally:
        made.close()  # also when it did not come that far: a thread left behind holds pytest up


@pytest.fixture
def running(shared: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A board of its own that runs FIRST, confirmed under seq 1."""
    shared.reset()
    board = Board(tmp_path, shared.broker, shared.store)
    shutil.copy(shared.board.flash, board.flash)
    bench = copy(shared)
    bench.board = board
    board.switch_on()
    board.printed("app 5.0.0")
    yield bench
    board.close()
