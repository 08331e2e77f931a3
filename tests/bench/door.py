"""Verified and durable webhooks: Kiln's door against Buildbot's GitHub hook, one after the other on this machine.

Both check an HMAC over the same recorded push, write it to SQLite, and answer; both have nobody to build for them,
so that builds stay queued on either side. Every request is a new delivery. The load comes from wrk.
"""

import hashlib
import hmac
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.demo.parts import ROOT, Kiln, Repository
from tests.servers import Server, free_port

CLIENTS = (1, 8, 32)
SECONDS = 8
SECRET = "a secret of the benchmark, 32 ch"
SAMPLE = ROOT / "tests" / "samples" / "github" / "push.branch-created.json"

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
    ["X-Hub-Signature-256"] = "sha256=%(sha256)s",
  }, body)
end
function done(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), summary.errors.status))
end
"""

BUILDBOT = """
from buildbot.plugins import schedulers, util, worker
c = BuildmasterConfig = {}
c["workers"] = [worker.Worker("nobody", "x")]
c["protocols"] = {"pb": {"port": "tcp:0:interface=127.0.0.1"}}
c["schedulers"] = [schedulers.AnyBranchScheduler(name="all", treeStableTimer=None, builderNames=["blink"])]
c["builders"] = [util.BuilderConfig(name="blink", workernames=["nobody"], factory=util.BuildFactory([]))]
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
        with kiln(folder) as (url, body):
            ours = {clients: load(folder, url, body, clients) for clients in CLIENTS}
        with buildbot(folder) as url:
            theirs = {clients: load(folder, url, body, clients) for clients in CLIENTS}
    print("webhooks, verified and durable   Kiln                       Buildbot 4.3.0             ratio")
    print("clients                          per s   p50 ms   p99 ms    per s   p50 ms   p99 ms")
    for clients in CLIENTS:
        one, other = ours[clients], theirs[clients]
        print(
            f"{clients:>7} {'':24} {one.rate:6.0f} {one.p50_ms:8.1f} {one.p99_ms:8.1f}"
            f"   {other.rate:6.0f} {other.p50_ms:8.1f} {other.p99_ms:8.1f}   {one.rate / other.rate:5.1f} x"
        )
        if one.refused or other.refused:
            print(f"        refused: Kiln {one.refused}, Buildbot {other.refused}")
    print("goals at 32 clients: >= 10 x Buildbot, >= 500 per s, p99 < 50 ms")


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
def kiln(folder: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """A whole Kiln without runners, following a real repository."""
    process = Kiln(folder / "data", {"KILN_RUNNERS": "0"})
    process.start()
    try:
        repository = Repository(folder, ROOT / "examples" / "blink")
        commit = repository.commit("bench")
        repository.push()
        body = {"forge": "local", "path": "bench/blink", "url": repository.url, "secret": SECRET}
        added = process.call("/api/v1/repositories", body)
        yield added["hook_url"], payload(commit)
    finally:
        process.stop()


@contextmanager
def buildbot(folder: pathlib.Path) -> Iterator[str]:
    """A Buildbot master from PyPI in a virtual environment of its own."""
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
    (master / "master.cfg").write_text(BUILDBOT % {"port": port, "secret": SECRET})
    subprocess.run([command, "upgrade-master", "--quiet", str(master)], check=True, capture_output=True)
    with Server([str(command), "start", "--nodaemon", str(master)], port, folder / "buildbot.log", at=master):
        yield f"http://127.0.0.1:{port}/change_hook/github"


def load(folder: pathlib.Path, url: str, body: bytes, clients: int) -> Load:
    """Raises: RuntimeError when nothing was accepted."""
    (folder / "body").write_bytes(body)
    values = {
        "body": folder / "body",
        "sha1": hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest(),
        "sha256": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
    }
    (folder / "load.lua").write_text(LUA % values)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}s", "--timeout", "10s", "-s", str(folder / "load.lua"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found, done.stdout
    requests, microseconds, p50, p99, refused = (int(each) for each in found.groups())
    if requests == refused:
        raise RuntimeError(f"{url} accepted nothing:\n{done.stdout}")
    return Load((requests - refused) / microseconds * 1e6, p50 / 1e3, p99 / 1e3, refused)


def _need_wrk() -> None:
    if shutil.which("wrk") is None:
        print("installing wrk, the load generator", file=sys.stderr)
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True, capture_output=True)


if __name__ == "__main__":
    main()
