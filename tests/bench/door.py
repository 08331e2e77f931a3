"""Verified and durable webhooks: Kiln's door against Buildbot's GitHub hook, one after the other on this machine.

Both check an HMAC over the recorded push, write it to SQLite, and answer; both have nobody to build for them. Every
request is a new delivery; Kiln's are of a new commit each, for it would know a repeated one, Buildbot's are all alike,
for it does not look. The load comes from wrk.
"""

import contextlib
import hashlib
import hmac
import json
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.demo.parts import ROOT, Kiln, Repository
from tests.servers import Server, free_port

CLIENTS = (1, 8, 32)
SECONDS = 8
SECRET = "a secret of the benchmark, 32 ch"
SAMPLE = ROOT / "tests" / "samples" / "github" / "push.branch-created.json"

HERE = pathlib.Path(__file__).parent
# Buildbot knows SHA-1 only, and the same body each time does for it.
LUA = """
local file = io.open("%(body)s", "rb")
local body = file:read("*a")
file:close()
local count, mark = 0, tostring(os.time()) .. tostring({}):sub(8)
function request()
  count = count + 1
  return wrk.format("POST", nil, {
    ["Content-Type"] = "application/json",
    ["X-GitHub-Event"] = "push",
    ["X-GitHub-Delivery"] = mark .. "-" .. count,
    ["X-Hub-Signature"] = "sha1=%(sha1)s",
  }, body)
end
function done(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), summary.errors.status))
end
"""

BUILDBOT = """
from buildbot.plugins import schedulers, steps, util, worker
c = BuildmasterConfig = {}
c["workers"] = [worker.%(worker)s]
c["protocols"] = {"pb": {"port": "tcp:0:interface=127.0.0.1"}}
c["schedulers"] = [schedulers.AnyBranchScheduler(name="all", treeStableTimer=None, builderNames=["blink"])]
factory = util.BuildFactory([steps.ShellCommand(command=["sh", "-c", %(build)r])])
c["builders"] = [util.BuilderConfig(name="blink", workernames=["one"], factory=factory)]
c["www"] = {"port": "tcp:%(port)d:interface=127.0.0.1",
            "change_hook_dialects": {"github": {"secret": "%(secret)s", "strict": True}}}
c["db"] = {"db_url": "sqlite:///state.sqlite"}
c["title"], c["titleURL"], c["buildbotURL"] = "bench", "http://localhost/", "http://localhost:%(port)d/"
c["buildbotNetUsageData"] = None
"""


@dataclass(frozen=True, slots=True)
class Load:
    rate: float  # accepted deliveries a second
    p50_ms: float
    p99_ms: float
    refused: int


def main() -> None:
    _need_wrk()
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        folder = pathlib.Path(name)
        with kiln(folder) as (url, ask):
            ours = {clients: load(kiln_command(folder, url, clients)) for clients in CLIENTS}
            recorded = ask("select count(*) from deliveries")
            again = load(kiln_command(folder, url, CLIENTS[-1]))
        with buildbot(folder) as url:
            theirs = {clients: load(buildbot_command(folder, url, clients)) for clients in CLIENTS}
    print("webhooks, verified and durable   Kiln                       Buildbot 4.3.0             ratio")
    print("clients                          per s   p50 ms   p99 ms    per s   p50 ms   p99 ms")
    for clients in CLIENTS:
        report(f"{clients}", ours[clients], theirs[clients])
    report(f"{CLIENTS[-1]}, {recorded} recorded before", again, theirs[CLIENTS[-1]])
    print("goals at 32 clients: >= 10 x Buildbot, >= 500 per s, p99 < 50 ms, also with 10,000 recorded")


def report(what: str, one: Load, other: Load) -> None:
    print(
        f"{what:>26} {'':5} {one.rate:6.0f} {one.p50_ms:8.1f} {one.p99_ms:8.1f}"
        f"   {other.rate:6.0f} {other.p50_ms:8.1f} {other.p99_ms:8.1f}   {one.rate / other.rate:5.1f} x"
    )
    if one.refused or other.refused:
        print(f"        refused: Kiln {one.refused}, Buildbot {other.refused}")


def payload(commit: str) -> bytes:
    """The recorded push as an ordinary update of a branch with one commit, which the samples lack."""
    event = json.loads(SAMPLE.read_text())
    head = {**(event["head_commit"] or {}), "id": commit, "message": "one commit", "url": "http://localhost/c"}
    head |= {"timestamp": "2026-01-02T03:04:05Z", "author": {"name": "Ada", "email": "ada@example.org"}}
    head |= {"added": [], "removed": [], "modified": ["main.py"], "distinct": True}
    event |= {"ref": "refs/heads/main", "after": commit, "before": "1" * 40, "created": False, "deleted": False}
    event |= {"head_commit": head, "commits": [head]}
    event["repository"] |= {"full_name": "bench/blink"}
    return json.dumps(event).encode()


@contextmanager
def kiln(folder: pathlib.Path) -> Iterator[tuple[str, Callable[[str], int]]]:
    """A whole Kiln without runners, following a repository; and questions to its database."""
    process = Kiln(folder / "data", {"KILN_RUNNERS": "0"})
    process.start()

    def ask(query: str) -> int:
        with contextlib.closing(sqlite3.connect(folder / "data" / "kiln.db", timeout=30)) as connection:
            return int(connection.execute(query).fetchone()[0])

    try:
        repository = Repository(folder, ROOT / "examples" / "blink")
        repository.commit("bench")
        repository.push()
        body = {"forge": "local", "path": "bench/blink", "url": repository.url, "secret": SECRET}
        yield process.call("/api/v1/repositories", body)["hook_url"], ask
    finally:
        process.stop()


def kiln_command(folder: pathlib.Path, url: str, clients: int) -> list[str]:
    """wrk with pushes that follow each other. What stays the same comes first, in whole blocks: it is hashed once."""
    event = json.loads(payload("<after>"))
    last = {name: event.pop(name) for name in ("before", "after", "head_commit", "commits")} | {"before": "<before>"}
    head = json.dumps(event)[:-1] + ","
    head += " " * (-len(head) % 64)
    (folder / "head").write_text(head)
    (folder / "tail").write_text(json.dumps(last)[1:])
    words = [str(HERE / "push.lua"), url, "--", str(folder / "head"), str(folder / "tail"), SECRET]
    return ["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}s", "--timeout", "10s", "-s", *words]


def buildbot_command(folder: pathlib.Path, url: str, clients: int) -> list[str]:
    body = payload("2" * 40)
    (folder / "body").write_bytes(body)
    values = {"body": folder / "body", "sha1": hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()}
    (folder / "load.lua").write_text(LUA % values)
    return ["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}s", "--timeout", "10s", "-s", str(folder / "load.lua"), url]


@contextmanager
def buildbot(folder: pathlib.Path, *, worker: str = 'Worker("one", "x")', build: str = "true") -> Iterator[str]:
    """A Buildbot master from PyPI in an environment of its own. Its worker never comes, unless it is a local one."""
    home = ROOT / ".kiln" / "buildbot"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        lock = str(ROOT / "tests" / "bench" / "buildbot.lock")
        pip = (str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps")
        subprocess.run([*pip, "-r", lock], check=True)
        (home / "ready").touch()
    master, port = folder / "master", free_port()
    command = home / "bin" / "buildbot"
    subprocess.run([command, "create-master", "--quiet", str(master)], check=True, capture_output=True)
    (master / "master.cfg").write_text(BUILDBOT % {"port": port, "secret": SECRET, "worker": worker, "build": build})
    subprocess.run([command, "upgrade-master", "--quiet", str(master)], check=True, capture_output=True)
    with Server([str(command), "start", "--nodaemon", str(master)], port, folder / "buildbot.log", at=master):
        yield f"http://127.0.0.1:{port}/change_hook/github"


def load(command: list[str]) -> Load:
    """Raises: RuntimeError when nothing was accepted."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found, done.stdout
    requests, microseconds, p50, p99, refused = (int(each) for each in found.groups())
    if requests == refused:
        raise RuntimeError(f"{command} accepted nothing:\n{done.stdout}")
    return Load((requests - refused) / microseconds * 1e6, p50 / 1e3, p99 / 1e3, refused)


def _need_wrk() -> None:
    if shutil.which("wrk") is None:
        print("installing wrk, the load generator", file=sys.stderr)
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True, capture_output=True)


if __name__ == "__main__":
    main()
