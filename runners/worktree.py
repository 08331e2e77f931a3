"""Where `kiln build` takes the source from: a clean work tree is its commit, anything else is its files as they lie."""

import io
import os
import pathlib
import tarfile
from dataclasses import dataclass

from runners.borrowed import Git, ask, borrow
from runners.errors import RefusedError
from runners.recipes.snapshot import MAX_SOURCE_BYTES, MAX_SOURCE_FILES

SUBMODULE = "160000"  # mode of an entry in a tree, gitdatamodel(7)


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
    commit = _head(path)
    if not commit:
        return Taken(snapshot=_as_it_lies(path), name=name)
    with borrow(path, commit) as git:
        changed = _changed(path, git)
        if changed or not _is_top(path):
            return Taken(snapshot=_as_it_lies(path), changed=changed, name=name)
        return Taken(snapshot=_committed(path, git, commit), commit=commit, name=name)


def _head(folder: pathlib.Path) -> str:
    return ask(folder, "rev-parse", "--verify", "--quiet", "HEAD").decode("ascii", "replace").strip()


def _is_top(folder: pathlib.Path) -> bool:
    top = os.fsdecode(ask(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n"))
    return bool(top) and pathlib.Path(top).resolve() == folder.resolve()


def _changed(folder: pathlib.Path, git: Git) -> tuple[str, ...]:
    """Paths below the folder that are not, byte by byte, as the commit has them; submodules count."""
    words = ("--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty", "--", ".")
    found = [os.fsdecode(each[3:]) for each in git("status", *words).split(b"\0") if each]
    new = ask(folder, "ls-files", "-z", "--others", "--exclude-standard", "--full-name")
    found += [os.fsdecode(each) for each in new.split(b"\0") if each]
    inner = [path for path, _ in _links(folder) if (folder / path / ".git").exists()]
    return (*found, *(path for path in inner if path not in found and _is_changed(folder / path)))


def _is_changed(submodule: pathlib.Path) -> bool:
    with borrow(submodule, _head(submodule)) as git:
        return bool(_changed(submodule, git))


def _committed(folder: pathlib.Path, git: Git, commit: str) -> bytes:
    whole = git("archive", "--format=tar", commit)
    parts = []
    for where, of, prefix in _submodules(folder, ""):
        with borrow(where, of) as git_there:
            parts.append(git_there("archive", "--format=tar", f"--prefix={prefix}", of))
    return _joined([whole, *parts]) if parts else whole


def _links(folder: pathlib.Path) -> list[tuple[str, str]]:
    """Path and commit of every submodule of the folder itself."""
    found = []
    for line in ask(folder, "ls-files", "--stage", "-z").split(b"\0"):
        mode, _, rest = os.fsdecode(line).partition(" ")
        if mode == SUBMODULE:
            head, _, path = rest.partition("\t")
            found.append((path, head.split()[0]))
    return found


def _submodules(folder: pathlib.Path, above: str) -> list[tuple[pathlib.Path, str, str]]:
    """Folder, commit and prefix of every submodule, nested ones too. Raises: RefusedError for one that is not there."""
    found = []
    for path, commit in _links(folder):
        if not (folder / path / ".git").exists():
            said = "`git submodule update --init --recursive` fetches it"
            raise RefusedError(f"the submodule {path} is not checked out: {said}")
        found.append((folder / path, commit, f"{above}{path}/"))
        found += _submodules(folder / path, f"{above}{path}/")
    return found


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
    listed = ask(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted({os.fsdecode(each) for each in listed.split(b"\0") if each})


def _all_files(folder: pathlib.Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(path.as_posix() for path in found if path.parts[0] != ".git")


def _read(path: pathlib.Path) -> bytes:
    if path.stat().st_size > 2 * MAX_SOURCE_BYTES:
        raise RefusedError(f"{path} is larger than {2 * MAX_SOURCE_BYTES >> 20} MiB")
    return path.read_bytes()
