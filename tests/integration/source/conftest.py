"""A real git server that a container can reach, hostile repositories on it, and a runner that fetches from it."""

import hashlib
import os
import pathlib
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from runners.contract.source import Fetch, Fetched, SourceLimits
from runners.docker_engine import DockerEngine
from runners.fetch import Fetcher
from runners.recipes.snapshot import Snapshot
from service.adapters.clock import SystemClock
from tests.fakes.fetch_service import InMemoryService
from tests.simulators.git_server import GitHttp, bridge_address, git_server

SMALL = SourceLimits(time_s=30)
WHO = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
}
GIT_ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **WHO,
}


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in a commit."""

    target: str


@dataclass(frozen=True, slots=True)
class Inner:
    """A submodule in a commit: only its pinned commit; `.gitmodules` is a file like any other."""

    commit: str


Content = bytes | Link | Inner


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare repository whose commits are made of raw objects, so that they may be as bad as they like."""

    path: pathlib.Path

    def git(self, *words: str, stdin: bytes = b"") -> str:
        command = ["git", "-C", str(self.path), *words]
        done = subprocess.run(command, input=stdin, check=True, capture_output=True, env=GIT_ENVIRONMENT, timeout=60)
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, Content], *, ref: str = "refs/heads/main", message: str = "one") -> str:
        lines = []
        for path, content in files.items():
            match content:
                case Inner(commit):
                    lines.append(f"160000 {commit}\t{path}")
                case Link(target):
                    lines.append(f"120000 {self._blob(target.encode())}\t{path}")
                case _:
                    lines.append(f"100644 {self._blob(content)}\t{path}")
        self.git("read-tree", "--empty")
        self.git("update-index", "-z", "--index-info", stdin="".join(f"{line}\0" for line in lines).encode())
        return self.point(ref, self.git("commit-tree", "-m", message, self.git("write-tree")))

    def point(self, ref: str, commit: str) -> str:
        self.git("update-ref", ref, commit)
        return commit

    def _blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)


@dataclass
class Forge:
    """A git server on the bridge, and a runner that fetches from it in real containers."""

    root: pathlib.Path
    server: GitHttp
    engine: DockerEngine
    service: InMemoryService = field(default_factory=InMemoryService)
    name: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    def repository(self, name: str = "blink", *, format: str = "sha1") -> Bare:  # noqa: A002  # git's own word
        path = self.root / f"{name}.git"
        command = ["git", "init", "-q", "--bare", "-b", "main", f"--object-format={format}", str(path)]
        subprocess.run(command, check=True, env=GIT_ENVIRONMENT, timeout=30)
        return Bare(path)

    def job(self, commit: str, *, url: str = "", ref: str = "refs/heads/main", limits: SourceLimits = SMALL) -> Fetch:
        identity = f"{self.name}-{uuid.uuid4().hex[:6]}"
        return Fetch(
            id=identity,
            url=url or f"{self.server.url}/blink.git",
            commit=commit,
            ref=ref,
            access_url="/access",
            upload_url=f"/{identity}",
            limits=limits,
        )

    def fetcher(self) -> Fetcher:
        return Fetcher(name=self.name, engine=self.engine, service=self.service, clock=time.monotonic)

    def run(self, fetch: Fetch) -> Fetched:
        result = self.fetcher().run(fetch)
        assert self.engine.jobs(self.name) == set(), "a container was left behind"
        assert result.outcome.value == "succeeded" or self.service.uploads == {}
        return result

    def fetch(self, commit: str, **more: object) -> Fetched:
        return self.run(self.job(commit, **more))  # type: ignore[arg-type]  # whatever `job` takes

    def refusal(self, commit: str, **more: object) -> str:
        result = self.fetch(commit, **more)
        assert result.outcome.value == "refused", result
        return result.message

    def snapshot(self, result: Fetched) -> bytes:
        assert result.outcome.value == "succeeded", result
        (content,) = self.service.uploads.values()
        assert hashlib.sha256(content).hexdigest() == result.digest
        assert len(content) == result.size_bytes
        return content

    def files(self, result: Fetched) -> dict[str, bytes | None]:
        return Snapshot.parse(self.snapshot(result)).files

    def limited(self, **values: int) -> SourceLimits:
        return replace(SMALL, **values)


@pytest.fixture
def forge(tmp_path: pathlib.Path) -> Iterator[Forge]:
    root = tmp_path / "git"
    root.mkdir()
    engine = DockerEngine.connect(now=SystemClock().now)
    with git_server(root, host=bridge_address()) as server:
        made = Forge(root, server, engine)
        yield made
    for job in engine.jobs(made.name):
        engine.remove(job)
    engine.close()
