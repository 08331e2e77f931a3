"""Repositories of this machine by git, and the heads of any."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from service.adapters.access import Leave
from service.adapters.authorities import with_the_systems
from service.domain.errors import BadInputError, NotFoundError, SourceError, TooLargeError
from service.domain.event import is_commit
from service.domain.repository import Repository
from service.flows import source
from service.forge import Access

MAX_SNAPSHOT_BYTES = source.LIMITS.snapshot_bytes
MAX_HEADS_BYTES = 16 << 20  # of a listing: 200,000 refs
TIMEOUT_S = 60  # of one question: others wait for their turn meanwhile
CHUNK_BYTES = 1 << 20
TRANSPORTS = ("file", "http", "https")
_GONE = ("not our ref", "couldn't find remote ref", "could not get object info")
# What trying again does not mend, in the words of git (LC_ALL=C).
_LASTING = (
    "could not read Username",
    "Authentication failed",
    "does not appear to be a git repository",
    "repository not found",
    "not allowed",
    "returned error: 30",  # a redirect, which is not followed
    "returned error: 403",
    "returned error: 404",
    "SSL certificate problem",
    "certificate verification failed",
)
_SETTINGS = """\
[safe]
\tdirectory = *
[core]
\thooksPath = /dev/null
\taskPass = /bin/false
[http]
\tfollowRedirects = false
[credential]
\thelper =
"""
_OF_SHA1 = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
_OF_SHA256 = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n"
# It answers `get` alone, and only where the section that names it fits: the repository's own host.
_HELPER = '[credential "{origin}"]\n\thelper = "!f() { test \\"$1\\" != get || cat access; }; f"\n'


class GitSources:
    """`service.ports.Sources` with the git command: files of `file://` repositories only, heads of all.

    Nothing of the machine's or the repository's git configuration takes part, no hook runs, only the transport of
    the repository's own address is allowed, and redirects are not followed.
    """

    def __init__(self, folder: pathlib.Path, *, leave: Leave, authorities: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._leave = leave
        self._authorities = folder / "authorities.pem" if authorities else None
        if self._authorities:
            self._authorities.write_text(with_the_systems(authorities), "utf-8")

    def fetch(self, repository: Repository, commit: str) -> Iterator[bytes]:
        if not is_commit(commit):
            raise NotFoundError(f"not a commit: {commit[:80]!r}")
        if not source.is_of_this_machine(repository):
            raise BadInputError(f"{repository.id} is fetched by a runner: it is not of this machine")
        if objects := _objects(repository):
            bare = self._borrowed(commit)
            yield from self._archive(bare, repository, commit, GIT_DIR=str(bare), GIT_OBJECT_DIRECTORY=objects)
            return
        with self._place(repository, None) as folder:
            self._copy(folder, repository, str(folder / "bare"), commit)
            yield from self._archive(folder, repository, commit, GIT_DIR=str(folder / "bare"))

    def _borrowed(self, commit: str) -> pathlib.Path:
        """A repository of our own without objects, for commits with names of this length; settings are beside its own.

        With another's objects it takes no process and copies nothing, and nothing of the other but its objects takes
        part: gitrepository-layout(5).
        """
        bare = self._folder / ("empty-sha256" if len(commit) == 64 else "empty-sha1")
        if not bare.is_dir():
            with tempfile.TemporaryDirectory(dir=self._folder) as name:
                made = pathlib.Path(name) / "bare"
                (made / "refs").mkdir(parents=True)
                (made / "HEAD").write_text("ref: refs/heads/none\n", "utf-8")
                (made / "config").write_text(_OF_SHA256 if len(commit) == 64 else _OF_SHA1, "utf-8")
                (made / "gitconfig").write_text(_SETTINGS, "utf-8")
                with contextlib.suppress(OSError):  # another made it meanwhile
                    made.rename(bare)
        return bare

    def _copy(self, folder: pathlib.Path, repository: Repository, bare: str, commit: str) -> None:
        self._git(folder, repository, "init", "--quiet", "--bare", bare)
        words = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        self._git(folder, repository, "-C", bare, "fetch", *words, "--", repository.url, commit)

    def message(self, repository: Repository, commit: str) -> str:
        """As `fetch` reads its files."""
        if not is_commit(commit) or not source.is_of_this_machine(repository):
            raise NotFoundError(f"not a commit of this machine: {commit[:80]!r}")
        words = ("log", "--no-walk", "--format=%B", commit, "--")
        if objects := _objects(repository):
            bare = self._borrowed(commit)
            where = {"GIT_DIR": str(bare), "GIT_OBJECT_DIRECTORY": objects}
            return self._git(bare, repository, *words, **where)
        with self._place(repository, None) as folder:
            self._copy(folder, repository, str(folder / "bare"), commit)
            return self._git(folder, repository, *words, GIT_DIR=str(folder / "bare"))

    def heads(self, repository: Repository) -> dict[str, str]:
        url = source.address_of(repository)
        with self._leave(repository) as access, self._place(repository, access) as folder:
            listing = self._git(folder, repository, "ls-remote", "--quiet", "--heads", "--tags", "--", url)
        if len(listing) > MAX_HEADS_BYTES:
            raise BadInputError(f"{repository.id} has more branches and tags than fit into {MAX_HEADS_BYTES >> 20} MiB")
        heads: dict[str, str] = {}
        for line in listing.splitlines():
            commit, _, ref = line.partition("\t")
            heads[ref.removesuffix("^{}")] = commit  # the peeled line follows the tag's own
        return heads

    @contextlib.contextmanager
    def _place(self, repository: Repository, access: Access | None) -> Iterator[pathlib.Path]:
        """A folder with the settings of one call; a credential is in a file there, of mode 0600, and goes with it."""
        parts = urlsplit(source.address_of(repository))
        origin = f"{parts.scheme}://{parts.netloc}"
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = pathlib.Path(name)
            settings = _SETTINGS
            if access is not None:
                settings += _HELPER.replace("{origin}", origin)
                handle = os.open(folder / "access", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(f"username={access.username}\npassword={access.password}\n")
            if self._authorities and parts.scheme == "https":
                settings += f'[http "{origin}"]\n\tsslCAInfo = "{_quoted(str(self._authorities))}"\n'
            (folder / "gitconfig").write_text(settings, "utf-8")
            yield folder

    def _archive(self, folder: pathlib.Path, repository: Repository, commit: str, **where: str) -> Iterator[bytes]:
        """`where` are the variables that name the repository which is read."""
        environment = _environment(folder, repository) | where
        command = ["git", "archive", "--format=tar", commit]
        with subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            size, chunk = 0, process.stdout.read(CHUNK_BYTES)
            is_of_commit = _is_of(chunk, commit)
            while chunk and is_of_commit:
                size += len(chunk)
                if size > MAX_SNAPSHOT_BYTES:
                    process.kill()
                    raise TooLargeError(f"the repository has more than {MAX_SNAPSHOT_BYTES >> 20} MiB of files")
                yield chunk
                chunk = process.stdout.read(CHUNK_BYTES)
        if not is_of_commit and self._git(folder, repository, "cat-file", "-t", commit, **where).strip() != "commit":
            raise BadInputError(f"{commit} of {repository.id} is no commit")  # a tag may lead to anything
        if not is_of_commit or process.returncode != 0:
            raise SourceError(f"git archive ended with {process.returncode}")

    def _git(self, folder: pathlib.Path, repository: Repository, *arguments: str, **variables: str) -> str:
        with subprocess.Popen(
            ["git", *arguments],
            env=_environment(folder, repository) | variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # so that git's own children, which do the talking, end with it
        ) as process:
            try:
                said, complaint = process.communicate(timeout=TIMEOUT_S)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise SourceError(f"{repository.id} did not answer within {TIMEOUT_S} s") from error
        if process.returncode != 0:
            word = complaint.replace(source.address_of(repository), repository.id).strip()[-300:]
            if any(each in word for each in _GONE):
                raise NotFoundError(f"the commit is not in {repository.id} any more")
            if any(each in word for each in _LASTING):
                raise BadInputError(f"{repository.id} cannot be read: check its address and credentials ({word})")
            raise SourceError(f"git could not read {repository.id}: {word}")
        return said


def _is_of(archive: bytes, commit: str) -> bool:
    """Whether its first header names this commit: git-archive(1). Of a tag it names what the tag leads to."""
    said = f" comment={commit}\n"
    return archive[:20] == b"pax_global_header\0\0\0" and archive[512:].startswith(f"{len(said) + 2}{said}".encode())


def _objects(repository: Repository) -> str:
    """The folder of a repository's objects, "" where they are not where they usually are."""
    there = pathlib.Path(unquote(urlsplit(repository.url).path))
    found = next((each for each in (there / "objects", there / ".git" / "objects") if each.is_dir()), None)
    return "" if found is None else str(found.resolve())


def _environment(folder: pathlib.Path, repository: Repository) -> dict[str, str]:
    scheme = urlsplit(repository.url).scheme
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": scheme if scheme in TRANSPORTS else "",
        "GIT_PROTOCOL_FROM_USER": "0",
    }


def _quoted(text: str) -> str:
    """As a value in git's configuration has it, git-config(1), Syntax."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
