"""A Kiln under measurement: a repository of many files, signed deliveries, and close looks at database and logs."""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.demo.parts import Kiln, clean_environment
from tests.bench.burst import deliver
from tests.bench.door import SECRET, payload

LOOK_S = 0.0005
WAIT_S = 300.0
IMAGE = "kiln/micropython:current"
CROSS = "/opt/mpy-cross/1.28/mpy-cross"
HARDENED = ["--network=none", "--user=65534:65534", "--read-only", "--cap-drop=ALL", "--pids-limit=128"]


@dataclass
class Field:
    """One repository of a Kiln that runs."""

    kiln: Kiln
    folder: pathlib.Path
    bare: pathlib.Path
    work: pathlib.Path
    hook: str
    skipped: tuple[str, ...] = ()  # how the names of files begin that go to no board
    _database: sqlite3.Connection | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: pathlib.Path, boards: list[str], **settings: str) -> Iterator["Field"]:
        folder.mkdir(parents=True)
        kiln, bare, work = Kiln(folder / "data", settings), folder / "bare.git", folder / "work"
        for words in (["init", "-q", "--bare", "-b", "main", str(bare)], ["clone", "-q", str(bare), str(work)]):
            subprocess.run(["git", *words], check=True, env=clean_environment(), capture_output=True)
        kiln.start()
        try:
            body = {"forge": "local", "path": "bench/blink", "url": f"file://{bare}", "secret": SECRET}
            hook = kiln.call("/api/v1/repositories", body)["hook_url"]
            named = ", ".join(f'"{each}"' for each in boards)
            (work / "kiln.toml").write_text(f'[firmware]\nname = "field"\nsource = "src"\nboards = [{named}]\n')
            (work / "src").mkdir()
            yield (field := cls(kiln=kiln, folder=folder, bare=bare, work=work, hook=hook))
            if field._database is not None:
                field._database.close()
        finally:
            kiln.stop()

    def write(self, files: int, mark: str) -> None:
        """A program of so many modules, like those that people write: 40 lines each; `mark` makes all of them new."""
        for number in range(files - 1):
            lines = [
                f"def f{line}(a, b={line}):\n    return (a + b) * {number} + len({mark!r})\n" for line in range(20)
            ]
            (self.work / "src" / f"m{number:04}.py").write_text("\n".join(lines))
        (self.work / "src" / "main.py").write_text(f"import m0000\n\nprint({mark!r})\n")

    def exclude(self, globs: list[str]) -> None:
        manifest = self.work / "kiln.toml"
        manifest.write_text(manifest.read_text() + f"exclude = {json.dumps(globs)}\n")
        self.skipped = tuple(each.rstrip("*") for each in globs)

    def commit(self, branch: str = "main") -> str:
        """Push what is there, by git alone; answers the commit."""
        user = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        self._git("add", "--all")
        self._git(*user, "commit", "-q", "--allow-empty", "-m", "change")
        self._git("push", "-q", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return self._git("rev-parse", "HEAD").strip()

    def deliver(self, commit: str, branch: str = "main") -> int:
        """A signed delivery; answers the number of its build."""
        return self.send(self.event(commit, branch))

    def event(self, commit: str, branch: str = "main") -> bytes:
        """What a forge says of a push. It knows without asking git."""
        before = self._git("rev-parse", f"{commit}^@").strip() or "0" * 40
        event = {**json.loads(payload(commit)), "before": before, "ref": f"refs/heads/{branch}"}
        return json.dumps(event).encode()

    def send(self, event: bytes) -> int:
        return int(json.loads(deliver(self.hook, event))["id"])

    def has_log(self, build: int, board: str) -> bool:
        return any(each.stat().st_size for each in (self.kiln.data / "logs").glob(f"**/*-{build}-{board}*"))

    def has_artifact(self, build: int, board: str) -> bool:
        """Raises: RuntimeError when its job ended otherwise."""
        found = self.ask("select status, result from jobs where build = ? and board = ?", build, board)
        if found and found[0][0] in {"failed", "error", "cancelled"}:
            raise RuntimeError(f"build {build}: {found[0]}")
        return bool(found) and found[0][0] == "succeeded"

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Over a connection that stays: to open one for each look took more than the look, from what is measured."""
        if self._database is None:
            self._database = sqlite3.connect(self.kiln.data / "kiln.db", timeout=30, check_same_thread=False)
        return self._database.execute(query, values).fetchall()

    def all_released(self, builds: list[int]) -> bool:
        """Asked once for all of them, for what the question costs is taken from what is measured.

        Raises: RuntimeError when one ended otherwise.
        """
        places = ", ".join("?" * len(builds))
        found = self.ask(f"select status, count(*) from builds where id in ({places}) group by status", *builds)
        ended = {str(status): count for status, count in found}
        if bad := ended.keys() & {"failed", "error", "cancelled", "skipped"}:
            raise RuntimeError(f"of builds {builds} some ended otherwise: {bad}")
        return ended.get("succeeded") == len(builds)

    def released(self, build: int) -> bool:
        """Raises: RuntimeError when it ended otherwise."""
        status, said = self.ask("select status, message from builds where id = ?", build)[0]
        if status in {"failed", "error", "cancelled", "skipped"}:
            raise RuntimeError(f"build {build} {status}: {said}")
        return status == "succeeded"

    def _git(self, *words: str) -> str:
        command = ["git", "-C", str(self.work), *words]
        return subprocess.run(command, check=True, env=clean_environment(), capture_output=True, text=True).stdout


def wait(look: Callable[[], object], *, every_s: float = LOOK_S) -> float:
    """The moment when `look` was true, monotonic seconds."""
    deadline = time.monotonic() + WAIT_S
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {WAIT_S:g} s")
        time.sleep(every_s)
    return time.monotonic()


def script(work: pathlib.Path, arch: str, skipped: tuple[str, ...] = ()) -> str:
    """The compilations of one board as one line of shell, which prints how many nanoseconds they took."""
    left_out = ("main.py", *skipped)
    modules = sorted(each.name for each in (work / "src").glob("*.py") if not each.name.startswith(left_out))
    lines = "; ".join(f"{CROSS} -march={arch} -s {each} -o /tmp/{each}.mpy {each}" for each in modules)
    return f"a=$(date +%s%N); {lines}; b=$(date +%s%N); echo $((b - a))"


def run_command(work: pathlib.Path, name: str, arch: str, skipped: tuple[str, ...] = ()) -> list[str]:
    """A bare container that makes the same compilations as a job, as hardened and with nothing written down."""
    (work.parent / f"{name}.sh").write_text(script(work, arch, skipped))
    mounts = [f"--volume={work / 'src'}:/src:ro", f"--volume={work.parent / f'{name}.sh'}:/script:ro"]
    options = [*HARDENED, "--tmpfs=/tmp", *mounts, "--workdir=/src"]
    return ["docker", "run", "--rm", *options, "--entrypoint=/bin/sh", IMAGE, "/script"]
