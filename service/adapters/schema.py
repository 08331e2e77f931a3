"""The tables, portable between SQLite and PostgreSQL, and the engine that opens them."""

import sqlite3
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
_text, _int, _real = sa.Text, sa.BigInteger, sa.Float
# SQLite numbers rows by itself only when the key is a plain INTEGER
_key = sa.BigInteger().with_variant(sa.Integer, "sqlite")

repositories = sa.Table(
    "repositories",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("forge", _text, nullable=False),
    sa.Column("path", _text, nullable=False),
    sa.Column("url", _text, nullable=False),
    sa.Column("secret", _text, nullable=False),
    sa.Column("default_branch", _text, nullable=False),
    sa.Column("public", sa.Boolean, nullable=False),
)
builds = sa.Table(
    "builds",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("repository", _text, nullable=False),
    sa.Column("number", _int, nullable=False),
    sa.Column("ref", _text, nullable=False),
    sa.Column("commit", _text, nullable=False),
    sa.Column("title", _text, nullable=False),
    sa.Column("author", _text, nullable=False),
    sa.Column("status", _text, nullable=False),
    sa.Column("message", _text, nullable=False, default=""),
    sa.Column("source_digest", _text, nullable=False, default=""),
    sa.Column("source_bytes", _int, nullable=False, default=0),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("finished_at", _real),
    sa.UniqueConstraint("repository", "number"),
    sa.Index("builds_of_ref", "repository", "ref", "number"),
    sqlite_autoincrement=True,
)
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("delivery", _text, primary_key=True),
    sa.Column("build", _int, nullable=False),
    sa.Column("received_at", _real, nullable=False),
)
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("build", _int, nullable=False, index=True),
    sa.Column("board", _text, nullable=False),
    sa.Column("family", _text, nullable=False),
    sa.Column("status", _text, nullable=False),
    sa.Column("result", _text),  # the runner's result, as JSON
    sa.UniqueConstraint("build", "board"),
)
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("build", _int, primary_key=True, autoincrement=False),
    sa.Column("repository", _text, nullable=False),
    sa.Column("name", _text, nullable=False),
    sa.Column("version", _text, nullable=False),
    sa.Column("counter", _int, nullable=False),
    sa.Column("channel", _text),
    sa.Column("created_at", _real, nullable=False),
    sa.UniqueConstraint("repository", "counter"),
)
bundles = sa.Table(
    "bundles",
    metadata,
    sa.Column("digest", _text, primary_key=True),
    sa.Column("build", _int, nullable=False),
    sa.Column("board", _text, nullable=False),
    sa.Column("statement", _text, nullable=False),
    sa.Column("object_digest", _text, nullable=False),
    sa.Column("size_bytes", _int, nullable=False),
    sa.UniqueConstraint("build", "board"),
)
channels = sa.Table(
    "channels",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("channel", _text, primary_key=True),
    sa.Column("build", _int, nullable=False),
    sa.Column("counter", _int, nullable=False),
)
devices = sa.Table(
    "devices",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("repository", _text, nullable=False),
    sa.Column("board", _text, nullable=False),
    sa.Column("channel", _text, nullable=False),
    sa.Column("token_digest", _text, nullable=False),
    sa.Column("seq", _int, nullable=False, default=0),
    sa.Column("desired", _text),
    sa.Column("desired_until", _real),
    sa.Column("report", _text),
    sa.Column("seen_at", _real),
    sa.Column("created_at", _real, nullable=False),
    sa.Index("devices_of_channel", "repository", "channel"),
)
reports = sa.Table(
    "reports",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("device", _text, nullable=False, index=True),
    sa.Column("at", _real, nullable=False),
    sa.Column("report", _text, nullable=False),
)
# The newest notice of each device, and whether it reached the broker: a retained message has one place only.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("device", _text, nullable=False, unique=True),
    sa.Column("seq", _int, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("sent_at", _real),
    sa.Index("outbox_unsent", "sent_at"),
    sqlite_autoincrement=True,
)


BUSY_MS = 30_000  # how long SQLite waits for another writer


def open_database(url: str, *, busy_ms: int = BUSY_MS) -> sa.Engine:
    """An engine for `sqlite:///file` or `postgresql://...`, with the tables made.

    SQLite: WAL, or readers and the second process would starve; synchronous FULL, or a power cut could
    take back an answer that was already given; IMMEDIATE, or two writers could deadlock on upgrade.
    """
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sa.create_engine(url, pool_size=16, max_overflow=16)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _tune(connection: sqlite3.Connection, _record: Any) -> None:  # SQLAlchemy's pool record
            connection.isolation_level = "IMMEDIATE"
            connection.execute(f"pragma busy_timeout={busy_ms}")
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=full")

    metadata.create_all(engine)
    return engine
