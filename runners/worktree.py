"""Where `kiln build` takes the source from: a clean work tree is its commit, anything else is its files as they lie."""

import io
import os
import pathlib
import subprocess
import tarfile
from dataclasses import dataclass

from runners.errors import RefusedError
from runners.recipes.snapshot import MAX_SOURCE_BYTES, MAX_SOURCE_FILES

GIT_TIMEOUT_S = 60
SUBMODULE = "160000"  # mode of an entry in a tree, gitdatamodel(7)
# What a folder's own configuration must not do here: start a program, or change bytes on their way out.
_PLAIN = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "tar.umask=0002",
)
_OF_ANOTHER = b"dubious ownership"  # git's word, in the C locale


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A source, as one tar."""

    snapshot: bytes
    commit: str = ""  # whose bytes these are; empty when they are of none
    changed: tuple[str, ...] = ()  # why they are of none: paths that differ from the commit, or are not in it
    name: str = ""  # of the folder


def take(path: pathlib.Path) -> Taken:
    """The source at `path`: a folder, or a snapshot that was kept as a tar.

    Of a whole work tree without changes the bytes are those that the service takes of its commit. Raises: RefusedError.
    """
    if path.is_file():
        return Taken(snapshot=_read(path), name=path.stem)
    if not path.is_dir():
        raise RefusedError(f"{path} is not a folder")
    name = path.resolve().name
    commit = _git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii", "replace").strip()
    changed = _changed(path) if commit else ()
    if not commit or changed or not _is_top(path):
        return Taken(snapshot=_as_it_lies(path), changed=changed, name=name)
    return Taken(snapshot=_committed(path, commit), commit=commit, name=name)


def _is_top(folder: pathlib.Path) -> bool:
    top = os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n"))
    return bool(top) and pathlib.Path(top).resolve() == folder.resolve()


def _changed(folder: pathlib.Path) -> tuple[str, ...]:
    """Paths below the folder that are not as the commit has them; submodules count."""
    said = _git(folder, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", ".")
    return tuple(os.fsdecode(each[3:]) for each in said.split(b"\0") if each)


def _committed(folder: pathlib.Path, commit: str) -> bytes:
    whole = _archive(folder, commit, "")
    parts = [_archive(where, of, prefix) for where, of, prefix in _submodules(folder, "")]
    return _joined([whole, *parts]) if parts else whole


def _submodules(folder: pathlib.Path, above: str) -> list[tuple[pathlib.Path, str, str]]:
    """Folder, commit and prefix of every submodule, nested ones too. Raises: RefusedError for one that is not there."""
    found = []
    for line in _git(folder, "ls-files", "--stage", "-z").split(b"\0"):
        mode, _, rest = os.fsdecode(line).partition(" ")
        if mode != SUBMODULE:
            continue
        head, _, path = rest.partition("\t")
        if not (folder / path / ".git").exists():
            said = "`git submodule update --init --recursive` fetches it"
            raise RefusedError(f"the submodule {path} is not checked out: {said}")
        found.append((folder / path, head.split()[0], f"{above}{path}/"))
        found += _submodules(folder / path, f"{above}{path}/")
    return found


def _archive(folder: pathlib.Path, commit: str, prefix: str) -> bytes:
    words = ("archive", "--format=tar", *((f"--prefix={prefix}",) if prefix else ()), commit)
    archive = _git(folder, *words)
    if not archive:
        raise RefusedError(f"git cannot pack commit {commit[:12]} of {folder}")
    return archive


def _joined(archives: list[bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as whole:
        for archive in archives:
            with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as part:
                for member in part:
                    whole.addfile(member, part.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def _as_it_lies(folder: pathlib.Path) -> bytes:
    """In a git work tree what git would take, else every file but ``.git``."""
    packed, size = io.BytesIO(), 0
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for count, name in enumerate(_git_files(folder) or _all_files(folder)):
            path = folder / name
            if not path.is_symlink() and not path.is_file():  # git also lists what was deleted
                continue
            size += path.lstat().st_size
            if count >= MAX_SOURCE_FILES or size > MAX_SOURCE_BYTES:
                limits = f"{MAX_SOURCE_FILES} files or {MAX_SOURCE_BYTES >> 20} MiB"
                raise RefusedError(f"{folder} holds more than {limits}")
            archive.add(path, arcname=name, recursive=False)
    return packed.getvalue()


def _git_files(folder: pathlib.Path) -> list[str]:
    """What is tracked or could be; nothing when this is no work tree or there is no git."""
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted({os.fsdecode(each) for each in listed.split(b"\0") if each})


def _all_files(folder: pathlib.Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(path.as_posix() for path in found if path.parts[0] != ".git")


def _read(path: pathlib.Path) -> bytes:
    if path.stat().st_size > 2 * MAX_SOURCE_BYTES:
        raise RefusedError(f"{path} is larger than {2 * MAX_SOURCE_BYTES >> 20} MiB")
    return path.read_bytes()


def _git(folder: pathlib.Path, *words: str) -> bytes:
    """What git answers; nothing when this is no work tree, or when there is no git.

    Raises: RefusedError for a work tree of another user: without git what it ignores would be taken along.
    """
    settings = [word for each in _PLAIN for word in ("-c", each)]
    command = ["env", "LC_ALL=C", "git", *settings, "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=GIT_TIMEOUT_S).stdout
    except subprocess.CalledProcessError as error:
        if _OF_ANOTHER in error.stderr:
            said = f"`git config --global --add safe.directory {folder.resolve()}` says that you trust it"
            raise RefusedError(f"{folder} belongs to another user, so git does not read it: {said}") from error
    except (OSError, subprocess.SubprocessError):
        pass
    return b""
