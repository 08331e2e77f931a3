"""What a first start leaves on the disk: the product makes it once in each process, and every test gets a copy.

Tables and RSA keys take many times as long to make as most tests need for all else.
"""

import functools
import pathlib
import tempfile
from typing import Any

import sqlalchemy as sa

from service.adapters.broker_store import EmbeddedAccounts
from service.adapters.database import open_database
from service.adapters.instance import load_instance
from service.adapters.keys import FileKeys


class Compiled(dict[Any, Any]):
    """SQL of statements, for all engines: one of its own in each test would compile the same few hundred again."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), compiled)  # the first is the engine's own dialect


_compiled = Compiled()


def database(folder: pathlib.Path) -> sa.Engine:
    """`kiln.db` in that folder, with all tables."""
    _lay("database", folder)
    return quick(open_database(f"sqlite:///{folder / 'kiln.db'}", durable=False))


def quick(engine: sa.Engine) -> sa.Engine:
    """That engine, which compiles no statement that was compiled for another test."""
    engine.update_execution_options(compiled_cache=_compiled)
    return engine


def keys(folder: pathlib.Path) -> FileKeys:
    """A new service's keys, in a folder of their own: the same ones in all tests of a process."""
    _lay("keys", folder)
    return FileKeys(folder)


def data(folder: pathlib.Path) -> None:
    """A data folder. So all services in the tests of a process have the same secrets, as after a restart."""
    _lay("instance", folder)
    _lay("database", folder)
    _lay("keys", folder / "keys")
    _lay("broker", folder / "broker")


def _lay(part: str, folder: pathlib.Path) -> None:
    """What is there already stays as it is, as at a second start."""
    for path, content in _first_start()[part].items():
        if not (folder / path).exists():
            (folder / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / path).touch(mode=0o600)  # it may be a secret
            (folder / path).write_bytes(content)


@functools.cache
def _first_start() -> dict[str, dict[str, bytes]]:
    """Files by their paths, of each part."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "database").mkdir()
        open_database(f"sqlite:///{folder / 'database' / 'kiln.db'}", durable=False).dispose()
        FileKeys(folder / "keys")
        EmbeddedAccounts(folder / "broker")
        load_instance(folder / "instance")
        return {part.name: _files(part) for part in folder.iterdir()}


def _files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
