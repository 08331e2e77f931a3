"""A rebuild, held against the bundle and its provenance."""

import hashlib
import io
import tarfile
from collections.abc import Mapping

from runners.contract.job import FILES_ARTIFACT
from service.verify.provenance import Origin
from service.verify.verdict import Reason, RefutedError, UndecidedError

MAX_SHOWN = 5  # of the files that differ


def check_snapshot(content: bytes, origin: Origin, *, is_of_git: bool = False) -> None:
    """Raises: RefutedError when this source is not the one that was built.

    UndecidedError when it is a commit out of a repository that has submodules, which it does not hold.
    """
    if hashlib.sha256(content).hexdigest() != origin.snapshot:
        if is_of_git and _has(content, ".gitmodules"):
            raise UndecidedError("the repository has submodules: give the build's snapshot.tar as --source")
        text = f"the source is not the snapshot that was built, {origin.snapshot[:16]}"
        raise RefutedError(Reason.SNAPSHOT_MISMATCH, text)


def compare(made: Mapping[str, bytes], origin: Origin, files: Mapping[str, str] | None) -> int:
    """How many files are the same bytes: those of the bundle, if there is one, and the board's other artifacts.

    `made` are the artifacts of the rebuild. Raises: RefutedError naming what differs.
    """
    found = {} if files is None else files_of(made.get(FILES_ARTIFACT, b""))
    expected = files or {}
    differs = [path for path in sorted({*found, *expected}) if found.get(path) != expected.get(path)]
    others = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    differs += [name for name in sorted({*others, *origin.artifacts}) if others.get(name) != origin.artifacts.get(name)]
    if differs:
        more = f" and {len(differs) - MAX_SHOWN} more" if len(differs) > MAX_SHOWN else ""
        text = f"the rebuild made other bytes: {', '.join(differs[:MAX_SHOWN])}{more}"
        raise RefutedError(Reason.REBUILD_DIFFERS, text)
    return len(expected) + len(set(others) - ({FILES_ARTIFACT} if expected else set()))


def _has(archive: bytes, path: str) -> bool:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            return path in tar.getnames()
    except tarfile.TarError:
        return False


def files_of(archive: bytes) -> dict[str, str]:
    """Path -> digest, of the files of a `files.tar` that was made on this machine; empty when it is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            members = [(each.name, tar.extractfile(each)) for each in tar if each.isfile()]
            return {name: hashlib.sha256(content.read()).hexdigest() for name, content in members if content}
    except tarfile.TarError:
        return {}
