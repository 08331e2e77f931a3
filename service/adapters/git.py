"""Source snapshots by git."""

import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

from service.domain.errors import BadInputError, NotFoundError, SourceError, TooLargeError
from service.domain.event import is_commit
from service.domain.repository import Forge, Repository

MAX_SNAPSHOT_BYTES = 64 << 20
TIMEOUT_S = 120
CHUNK_BYTES = 1 << 20
# What trying again does not mend, in the words of git (LC_ALL=C).
_LASTING = (
    "could not read Username",
    "Authentication failed",
    "does not appear to be a git repository",
    "repository not found",
    "not allowed",
)


class GitSources:
    """`service.ports.Sources` with the git command.

    Nothing of the machine's or the repository's git configuration takes part, no hook runs, and only the
    transports of the repository's own kind are allowed, whatever a URL or a redirect says.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._config = folder / "gitconfig"
        # An operator's bare repository may belong to another user of the machine.
        self._config.write_text("[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n")

    def fetch(self, repository: Repository, commit: str) -> Iterator[bytes]:
        if not is_commit(commit):
            raise NotFoundError(f"not a commit: {commit[:80]!r}")
        with tempfile.TemporaryDirectory(dir=self._folder) as bare:
            self._git(repository, "init", "--quiet", "--bare", bare)
            fetch = (
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
            )
            self._git(repository, "-C", bare, *fetch, "--", repository.url, commit)
            yield from self._archive(repository, bare, commit)

    def heads(self, repository: Repository) -> dict[str, str]:
        listing = self._git(repository, "ls-remote", "--quiet", "--heads", "--tags", "--", repository.url)
        heads: dict[str, str] = {}
        for line in listing.splitlines():
            commit, _, ref = line.partition("\t")
            heads[ref.removesuffix("^{}")] = commit  # the peeled line follows the tag's own
        return heads

    def _archive(self, repository: Repository, bare: str, commit: str) -> Iterator[bytes]:
        command = ["git", "-C", bare, "archive", "--format=tar", commit]
        with subprocess.Popen(
            command, env=self._environment(repository), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            size = 0
            while chunk := process.stdout.read(CHUNK_BYTES):
                size += len(chunk)
                if size > MAX_SNAPSHOT_BYTES:
                    process.kill()
                    raise TooLargeError(f"the repository has more than {MAX_SNAPSHOT_BYTES >> 20} MiB of files")
                yield chunk
        if process.returncode != 0:
            raise SourceError(f"git archive ended with {process.returncode}")

    def _git(self, repository: Repository, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments],
                env=self._environment(repository),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{repository.id} did not answer within {TIMEOUT_S} s") from error
        if done.returncode != 0:
            word = done.stderr.replace(repository.url, repository.id).strip()[-300:]
            if "not our ref" in word or "couldn't find remote ref" in word:
                raise NotFoundError(f"the commit is not in {repository.id} any more")
            if any(each in word for each in _LASTING):
                raise BadInputError(f"{repository.id} cannot be read: check its address and credentials ({word})")
            raise SourceError(f"git could not read {repository.id}: {word}")
        return done.stdout

    def _environment(self, repository: Repository) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self._folder),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": str(self._config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:http:https" if repository.forge is Forge.LOCAL else "https",
            "GIT_PROTOCOL_FROM_USER": "0",
        }
