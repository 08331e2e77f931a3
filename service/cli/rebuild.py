"""A rebuild of a snapshot by the runners, in a process of its own: they hold the Docker socket, and we never do."""

import json
import pathlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from runners.contract.job import Outcome
from service.adapters.git import GitSources
from service.domain.errors import KilnError
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows import source
from service.verify.provenance import Origin
from service.verify.verdict import Reason, RefutedError, UndecidedError

REBUILD_TIMEOUT_S = 900
MAX_SNAPSHOT_BYTES = source.LIMITS.snapshot_bytes
# Another machine may be smaller: what ran out of memory, disk or time says nothing of the source.
_SOURCES_DOING = {Outcome.FAILED.value, Outcome.REFUSED.value}
_OF_NO_USE = ("is missing on the runner", "is of another version")  # what runners say of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    artifacts: dict[str, bytes]
    image: str  # digest of the build image that was at hand


def read_source(where: pathlib.Path, commit: str) -> bytes:
    """The snapshot of a commit out of a git repository, or a snapshot that was kept as a file.

    Raises: UndecidedError.
    """
    if where.is_file():
        try:
            with where.open("rb") as file:
                content = file.read(MAX_SNAPSHOT_BYTES + 1)
        except OSError as error:
            raise UndecidedError(f"{where} cannot be read: {error.strerror}") from error
        if len(content) > MAX_SNAPSHOT_BYTES:
            raise UndecidedError(f"{where} is larger than {MAX_SNAPSHOT_BYTES >> 20} MiB")
        return content
    if not where.is_dir():
        raise UndecidedError(f"{where} is neither a git repository nor a snapshot.tar")
    name = RepositoryId("local/source")
    repository = Repository(id=name, forge=Forge.LOCAL, path="source", url=where.resolve().as_uri(), secret="")
    with tempfile.TemporaryDirectory(prefix="kiln-verify.") as folder:
        try:
            return b"".join(GitSources(pathlib.Path(folder), leave=_no_leave).fetch(repository, commit))
        except KilnError as error:
            raise UndecidedError(f"commit {commit[:12]} cannot be read from {where}: {error}") from error


def _no_leave(repository: Repository) -> Any:
    raise UndecidedError(f"{repository.id} needs no credential")


def rebuild(snapshot: bytes, origin: Origin, *, name: str) -> Rebuilt:
    """Build the board again, in the very build image if it is on this machine, else in the one that is.

    `name` is the firmware's, where its manifest has none.

    Raises: RefutedError when the source does not build, UndecidedError when it cannot be tried.
    """
    with tempfile.TemporaryDirectory(prefix="kiln-rebuild.") as place:
        folder = pathlib.Path(place)
        (folder / "snapshot.tar").write_bytes(snapshot)
        result = _run(folder, origin, name, image=f"sha256:{origin.image}" if origin.image else "")
        if any(each in result["message"] for each in _OF_NO_USE):
            result = _run(folder, origin, name, image="")
        is_same_image = result.get("image", "") == f"sha256:{origin.image}"
        if result.get("outcome") in _SOURCES_DOING and is_same_image:
            raise RefutedError(Reason.REBUILD_FAILED, f"the source does not build: {result['message']}")
        if result.get("outcome") != Outcome.SUCCEEDED.value:
            raise UndecidedError(f"it cannot be built again here: {result['message']}")
        made = {each["name"]: pathlib.Path(each["path"]).read_bytes() for each in result["artifacts"]}
        return Rebuilt(artifacts=made, image=result["image"].removeprefix("sha256:"))


def _run(folder: pathlib.Path, origin: Origin, name: str, *, image: str) -> dict[str, Any]:
    """What the runners say of the board; a message alone where it did not come to a build."""
    command = [sys.executable, "-m", "runners", "build", str(folder / "snapshot.tar"), "--json"]
    command += [f"--board={origin.board}", f"--name={name}", f"--commit={origin.commit}"]
    command += [f"--output={folder / 'made'}", *([f"--image={image}"] if image else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=REBUILD_TIMEOUT_S, check=False)
        result = (
            json.loads(done.stdout)["boards"][0] if done.stdout.strip() else {"message": done.stderr.strip()[-500:]}
        )
    except subprocess.TimeoutExpired as error:
        raise UndecidedError(f"the rebuild did not end within {REBUILD_TIMEOUT_S} s") from error
    except (ValueError, KeyError, IndexError) as error:
        raise UndecidedError("the rebuild answered nothing that can be read") from error
    return dict(result)
