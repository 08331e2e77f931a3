"""The examples: built by the real recipe, they run on a virtual device and update from 1 to 2."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from runners import artifacts
from runners.contract.job import Limits
from tests.fakes.configurations import make_configuration
from tests.fakes.releases import FakeRelease, make_release
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import until
from tests.integration.runners.conftest import PATH

pytestmark = [pytest.mark.docker, pytest.mark.enable_socket]

ROOT = Path(__file__).parents[3]


def compiled(name: str, folder: Path, *, version: str = "1") -> dict[str, bytes]:
    """The example as `kiln build` makes it for the unix board, with another VERSION in main.py."""
    source, output = folder / f"{name}-{version}", folder / f"{name}-{version}-out"
    shutil.copytree(ROOT / "examples" / name, source)
    main = source / "src" / "main.py"
    main.write_text(main.read_text().replace('VERSION = "1"', f'VERSION = "{version}"'))
    command = [sys.executable, "-m", "runners", "build", str(source), "--board", "unix", "--output", str(output)]
    environment = {"PATH": PATH, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(artifacts.unpack(iter([(output / "files.tar").read_bytes()]), Limits()))


def release_of(files: dict[str, bytes], *, version: str = "1") -> FakeRelease:
    return make_release(files, version=f"{version}.0.0", counter=int(version), mpy=6)


def build(name: str, folder: Path, *, version: str = "1") -> FakeRelease:
    return release_of(compiled(name, folder, version=version), version=version)


def start(bench: Bench, *, heapsize: str = "96k", confirm_after_s: float = 60) -> None:
    """A new board; in so short a test only its own health check confirms a release."""
    bench.board.heapsize = heapsize
    bench.board.device["confirm_after_s"] = confirm_after_s
    bench.board.make(settings={"PERIOD_S": 1})
    bench.board.switch_on()


def updates(bench: Bench, first: FakeRelease, second: FakeRelease) -> None:
    bench.desire(second, seq=2)

    report = bench.broker.reported("confirmed", release=second.digest)

    assert (report["version"], report["running"]) == ("2.0.0", second.digest)
    assert not [r for r in bench.broker.reports if r["state"] in ("refused", "rolled_back")]
    assert bench.board.state()["a"]["release"] == first.digest


def test_blink_runs_and_updates(bench: Bench, tmp_path: Path) -> None:
    first, second = (build("blink", tmp_path, version=version) for version in "12")
    start(bench, confirm_after_s=0.2)
    bench.desire(first, seq=1)
    bench.broker.reported("confirmed", release=first.digest)

    updates(bench, first, second)

    assert bench.board.printed("blink 2 on linux") >= 1


def test_the_blocking_example_updates_and_keeps_its_data(bench: Bench, tmp_path: Path) -> None:
    first, second = (build("greenhouse", tmp_path, version=version) for version in "12")
    start(bench)
    bench.desire(first, seq=1)
    bench.broker.reported("confirmed", release=first.digest)
    assert bench.board.printed("greenhouse 1 target 24 readings so far 0") >= 1
    until(lambda: b"readings" in flashing.cat(bench.board.flash, "data/greenhouse.json"), what="the diary")

    updates(bench, first, second)

    bench.board.printed("greenhouse 2 target 24 readings so far ")
    assert not [line for line in bench.board.lines if line.startswith("greenhouse 2") and line.endswith(" 0")]
    bench.board.printed("window open at 25")


def test_the_settings_of_the_blocking_example_change_alone(bench: Bench, tmp_path: Path) -> None:
    release = build("greenhouse", tmp_path)
    start(bench)
    bench.desire(release, seq=1)
    bench.broker.reported("confirmed", release=release.digest)
    made = make_configuration({"PERIOD_S": 1, "TARGET_C": 21}, key=None)
    bench.store.configurations[made.digest] = made.raw

    bench.desire(release, seq=2, config=made.digest)

    assert bench.broker.reported("confirmed", config=made.digest)["version"] == "1.0.0"
    bench.board.printed("greenhouse 1 target 21")
    bench.board.printed("window open at 23")


def test_the_asyncio_example_updates_and_counts_on(bench: Bench, tmp_path: Path) -> None:
    first, second = (build("doorbell", tmp_path, version=version) for version in "12")
    start(bench)
    bench.desire(first, seq=1)
    bench.broker.reported("confirmed", release=first.digest)
    bench.board.printed("doorbell 1 presses so far 0")
    bench.board.printed("ding dong 2")

    updates(bench, first, second)

    bench.board.printed("doorbell 2 presses so far")
    assert not [line for line in bench.board.lines if line.startswith("doorbell 2") and line.endswith(" 0")]


def test_a_task_that_hangs_sends_the_asyncio_example_back(bench: Bench, tmp_path: Path) -> None:
    files = compiled("doorbell", tmp_path)
    start(bench)
    first = bench.desire(release_of(files), seq=1)
    bench.broker.reported("confirmed", release=first.digest)
    main = files["main.py"].decode().replace("await asyncio.sleep_ms(BEAT_MS)", "return", 1)

    bad = bench.desire(release_of(files | {"main.py": main.encode()}, version="2"), seq=2)

    report = bench.broker.reported("rolled_back", "unhealthy", release=bad.digest)
    assert report["detail"].startswith("a task hangs")
    assert report["running"] == first.digest
