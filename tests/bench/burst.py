"""A burst of pushes to one branch: how long until the newest is built, and how many builds that took.

Kiln builds four boards in containers; Buildbot's local worker runs the same compilations by `docker run`. Both are sent
the same signed deliveries, one after another, as fast as they answer.
"""

import contextlib
import hashlib
import hmac
import json
import pathlib
import shlex
import sqlite3
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator

from deploy.demo.parts import ROOT, Kiln, Repository
from deploy.demo.story import FINAL
from tests.bench.door import SECRET, buildbot, payload
from tests.bench.push import BOARDS, command

PUSHES = 100


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        folder = pathlib.Path(name)
        repository = Repository(folder, ROOT / "examples" / "blink")
        commits = []
        for number in range(PUSHES):
            repository.set_version(str(number))
            commits.append(repository.commit(f"push {number}"))
        repository.push()
        accepted, ours, made = kiln(folder, repository, commits)
        taken, theirs, builds = other(folder, repository, commits)
    print(f"burst of {PUSHES} pushes to one branch      Kiln       Buildbot 4.3.0")
    print(f"all accepted after                      {accepted:5.2f} s    {taken:5.2f} s")
    print(f"the newest is built after               {ours:5.2f} s    {theirs:5.2f} s   ratio {ours / theirs:4.2f}")
    print(f"builds begun for each board             {made:5}      {builds:5}")
    print("goal: at most 2 builds for each board")


def kiln(folder: pathlib.Path, repository: Repository, commits: list[str]) -> tuple[float, float, int]:
    """Seconds until all were accepted, and until the newest was released; builds begun for a board."""
    process = Kiln(folder / "data", {})
    process.start()
    try:
        body = {"forge": "local", "path": "bench/blink", "url": repository.url, "secret": SECRET}
        url = process.call("/api/v1/repositories", body)["hook_url"]
        began = time.monotonic()
        answers = [deliver(url, body) for body in bodies(commits)]
        accepted = time.monotonic() - began
        newest = json.loads(answers[-1])["id"]
        while (state := process.call(f"/api/v1/builds/{newest}"))["status"] not in FINAL:
            time.sleep(0.05)
        ended = time.monotonic() - began
        if state["status"] != "succeeded":
            raise RuntimeError(json.dumps(state))
        with contextlib.closing(sqlite3.connect(folder / "data" / "kiln.db", timeout=30)) as connection:
            begun = connection.execute("select count(*) from jobs group by board").fetchall()
        return accepted, ended, max(count for (count,) in begun)
    finally:
        process.stop()


def other(folder: pathlib.Path, repository: Repository, commits: list[str]) -> tuple[float, float, int]:
    """The same of Buildbot. It is done when nothing is left to build for a second."""
    lines = " & ".join(shlex.join(command(repository.work, arch)) for arch in BOARDS.values())
    with buildbot(folder, worker='LocalWorker("one")', build=f"{lines} & wait") as url:
        deliver(url, next(bodies(["f" * 40])))  # warms it
        time.sleep(5)
        began = time.monotonic()
        for body in bodies(commits):
            deliver(url, body)
        accepted = time.monotonic() - began
        database = folder / "master" / "state.sqlite"
        while True:
            with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
                open_ = connection.execute("select count(*) from buildrequests where complete = 0").fetchone()[0]
                done = connection.execute("select count(*), max(complete_at) from builds").fetchone()
            if not open_:
                return accepted, time.monotonic() - began, int(done[0]) - 1
            time.sleep(0.1)


def bodies(commits: list[str]) -> Iterator[bytes]:
    before = "0" * 40
    for commit in commits:
        yield json.dumps({**json.loads(payload(commit)), "before": before}).encode()
        before = commit


def deliver(url: str, body: bytes) -> bytes:
    request = urllib.request.Request(
        url,
        data=body,
        headers={
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature": f"sha1={hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()}",
            "X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())
