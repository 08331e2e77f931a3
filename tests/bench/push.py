"""From a push to the signed release of four boards, against four bare `docker run` of the same commands."""

import datetime
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

from deploy.demo.parts import ROOT, Kiln, Repository
from deploy.demo.story import FINAL

ROUNDS = 7
IMAGE = "kiln/micropython:current"
BOARDS = {"esp32-generic": "xtensawin", "esp8266-generic": "xtensa", "rpi-pico-w": "armv6m", "unix": "x64"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        folder = pathlib.Path(name)
        kiln = Kiln(folder / "data", {})
        kiln.start()
        try:
            repository = follow(folder, kiln)
            one_push(kiln, repository, 0)  # warms both sides: imports, page cache
            bare(repository.work, together=True)
            ours, together, in_turn = [], [], []
            for number in range(1, ROUNDS + 1):
                ours.append(one_push(kiln, repository, number))
                together.append(bare(repository.work, together=True))
                in_turn.append(bare(repository.work, together=False))
        finally:
            kiln.stop()
    report(ours, together, in_turn)


def report(ours: list[float], together: list[float], in_turn: list[float]) -> None:
    mine = statistics.median(ours)
    print(f"push to signed release, 4 boards, median of {ROUNDS}")
    print(
        f"  Kiln, from the signed delivery to the signed release   {mine:6.2f} s  ({min(ours):.2f} to {max(ours):.2f})"
    )
    for name, times in (("all four at once", together), ("one after another", in_turn)):
        base = statistics.median(times)
        print(f"  bare docker run, {name:<37} {base:6.2f} s   ratio {mine / base:4.2f}")
    print("goal: <= 1.5 times the bare docker run of the same commands")


def follow(folder: pathlib.Path, kiln: Kiln) -> Repository:
    repository = Repository(folder, ROOT / "examples" / "blink")
    body = {"forge": "local", "path": "bench/blink", "url": repository.url}
    added = kiln.call("/api/v1/repositories", body)
    repository.install_hook(added["hook_url"], added["secret"])
    return repository


def one_push(kiln: Kiln, repository: Repository, number: int) -> float:
    """Seconds between the delivery's acceptance and the release, by the service's own clock."""
    repository.set_version(str(number))
    repository.commit(f"push {number}")
    build = int(repository.push().rsplit("/builds/", 1)[1].split()[0])
    while (state := kiln.call(f"/api/v1/builds/{build}"))["status"] not in FINAL:
        time.sleep(0.05)
    if state["status"] != "succeeded":
        raise RuntimeError(json.dumps(state))
    created, finished = (_seconds(state[name]) for name in ("created_at", "finished_at"))
    return finished - created


def bare(work: pathlib.Path, *, together: bool) -> float:
    """The same compilations in the same image, with no network, no root and nothing written down."""
    started = time.monotonic()
    running = []
    for arch in BOARDS.values():
        running.append(subprocess.Popen(command(work, arch), stdout=subprocess.DEVNULL))
        if not together:
            running[-1].wait()
    if any(process.wait() for process in running):
        raise RuntimeError("a bare container failed")
    return time.monotonic() - started


def command(work: pathlib.Path, arch: str) -> list[str]:
    source = work / "src"
    modules = sorted(each.name for each in source.glob("*.py") if each.name not in ("boot.py", "main.py"))
    cross = "/opt/mpy-cross/1.28/mpy-cross"
    lines = " && ".join(f"{cross} -march={arch} -s {each} -o /tmp/{each}.mpy {each}" for each in modules)
    limits = ["--network=none", "--user=65534:65534", "--read-only", "--cap-drop=ALL", "--pids-limit=128"]
    mounts = ["--tmpfs=/tmp", f"--volume={source}:/src:ro", "--workdir=/src"]
    return ["docker", "run", "--rm", *limits, *mounts, "--entrypoint=/bin/sh", IMAGE, "-c", lines]


def _seconds(stamp: str) -> float:
    return datetime.datetime.fromisoformat(stamp).timestamp()


if __name__ == "__main__":
    main()
