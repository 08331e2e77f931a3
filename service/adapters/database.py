"""The engine that opens the database, made or brought up to date."""

import pathlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from service.adapters.schema_rollouts import metadata  # of all tables, these and those that it imports
from service.domain.errors import ConflictError

HEAD = "0011"
FIRST = "0001"  # of Kiln 0.1.0, which wrote no number
MIGRATIONS = pathlib.Path(__file__).parent / "migrations"

BUSY_MS = 30_000  # how long we wait for another writer
# SQLite sleeps 1 ms and 2 ms for another writer, and is asked again: left to itself it would sleep for up to 100 ms
# each time, and whoever began to wait later would go before it.
SLEEPS_MS = 3
CHECKPOINT_PAGES = 1000  # of the log, before whoever commits takes them over into the database: SQLite's own choice


def open_database(url: str, *, busy_ms: int = BUSY_MS, durable: bool = True) -> sa.Engine:
    """An engine for `sqlite:///file` or `postgresql://...`, with the tables made or brought up to date.

    Only a test that survives no power cut may do without `durable`: then nothing waits for the disk.
    """
    engine = _engine(url, busy_ms, CHECKPOINT_PAGES, {"durable": durable})
    bring_up_to_date(engine)
    return engine


def _engine(url: str, busy_ms: int, checkpoint_pages: int, options: Mapping[str, Any]) -> sa.Engine:
    """SQLite: WAL, or readers and the second process would starve; synchronous FULL, or a power cut could
    take back an answer that was already given; IMMEDIATE, or two writers could deadlock on upgrade.
    """
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    synchronous = "full" if options["durable"] else "off"
    engine = sa.create_engine(url, pool_size=16, max_overflow=16, execution_options=options)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _tune(connection: sqlite3.Connection, _record: Any) -> None:  # SQLAlchemy's pool record
            connection.isolation_level = "IMMEDIATE"
            connection.execute(f"pragma busy_timeout={busy_ms}")
            connection.execute("pragma journal_mode=wal")
            connection.execute(f"pragma synchronous={synchronous}")
            connection.execute(f"pragma wal_autocheckpoint={checkpoint_pages}")
            connection.execute(f"pragma busy_timeout={min(busy_ms, SLEEPS_MS)}")

        if busy_ms > SLEEPS_MS:
            _ask_again(engine, busy_ms / 1000)
    return engine


def _ask_again(engine: sa.Engine, patience_s: float) -> None:
    """Have each statement that finds another writer tried again. Until its first write there is no transaction."""

    def tried(act: Callable[[Any, Any], object], cursor: sqlite3.Cursor, statement: str, parameters: Any) -> bool:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                act(statement, parameters)
            except sqlite3.OperationalError as error:
                is_busy = "locked" in str(error) and not cursor.connection.in_transaction
                if not is_busy or time.monotonic() > deadline:
                    raise
            else:
                return True  # it is done

    @sa.event.listens_for(engine, "do_execute")
    def _execute(cursor: sqlite3.Cursor, statement: str, parameters: Any, _context: Any) -> bool:
        return tried(cursor.execute, cursor, statement, parameters)

    @sa.event.listens_for(engine, "do_executemany")
    def _execute_many(cursor: sqlite3.Cursor, statement: str, parameters: Any, _context: Any) -> bool:
        return tried(cursor.executemany, cursor, statement, parameters)


def opened_again(engine: sa.Engine, *, busy_ms: int, checkpoint_pages: int) -> sa.Engine:
    """Another engine for the same database, alike but for these."""
    url = engine.url.render_as_string(hide_password=False)
    return _engine(url, busy_ms, checkpoint_pages, engine.get_execution_options())


def bring_up_to_date(engine: sa.Engine) -> None:
    """Make the tables, or take the steps that lead from an older Kiln's to ours. All of it or nothing.

    Raises: ConflictError when a newer Kiln wrote the database.
    """
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # Python begins a transaction before a change of rows only, and what makes tables would not be undone.
            connection.exec_driver_sql("begin immediate")
        version = _version(connection)
        if version is None:
            metadata.create_all(connection)
            _note(connection, HEAD)
        elif version > HEAD:
            raise ConflictError(f"the database is of a newer Kiln (step {version}, this one knows {HEAD})")
        elif version < HEAD:
            if not sa.inspect(connection).has_table("alembic_version"):
                _note(connection, FIRST)
            _upgrade(connection)


def _version(connection: sa.Connection) -> str | None:
    """The last step that was taken; None for an empty database."""
    tables = sa.inspect(connection).get_table_names()
    if "alembic_version" in tables:
        return str(connection.execute(sa.text("select version_num from alembic_version")).scalar())
    return FIRST if "builds" in tables else None


def _note(connection: sa.Connection, version: str) -> None:
    connection.execute(sa.text("create table alembic_version (version_num varchar(32) not null primary key)"))
    connection.execute(sa.text("insert into alembic_version values (:version)"), {"version": version})


def _upgrade(connection: sa.Connection) -> None:
    # Rarely needed, and slow to import.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
