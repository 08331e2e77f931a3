"""The tables of devices. A change here needs a step in `migrations/versions`, too."""

import sqlalchemy as sa

from service.adapters.schema import metadata

__all__ = ["agents", "configurations", "device_events", "device_logs", "devices", "metadata", "outbox", "reports"]

_text, _int, _real = sa.Text, sa.BigInteger, sa.Float
_key = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # as in `schema`

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("repository", _text, nullable=False),
    sa.Column("board", _text, nullable=False),
    sa.Column("channel", _text, nullable=False),
    sa.Column("token_digest", _text, nullable=False),
    sa.Column("new_token_digest", _text),
    sa.Column("config", _text, nullable=False, server_default=""),
    sa.Column("retired_at", _real),
    sa.Column("connected", sa.Boolean),
    sa.Column("seq", _int, nullable=False, default=0),
    sa.Column("desired", _text),
    sa.Column("desired_until", _real),
    sa.Column("report", _text),
    sa.Column("seen_at", _real),
    sa.Column("created_at", _real, nullable=False),
    sa.Index("devices_of_channel", "repository", "channel"),
)
configurations = sa.Table(
    "configurations",
    metadata,
    sa.Column("device", _text, primary_key=True),
    sa.Column("sealed", _text, nullable=False),  # key, settings, credentials, and what was last made of them
)
device_logs = sa.Table(
    "device_logs",
    metadata,
    sa.Column("device", _text, primary_key=True),
    sa.Column("at", _real, nullable=False),
    sa.Column("text", _text, nullable=False),
)
device_events = sa.Table(
    "device_events",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("device", _text, nullable=False, index=True),
    sa.Column("at", _real, nullable=False),
    sa.Column("what", _text, nullable=False),
    sa.Column("detail", _text, nullable=False),
)
agents = sa.Table(
    "agents",
    metadata,
    sa.Column("counter", _int, primary_key=True, autoincrement=False),
    sa.Column("digest", _text, nullable=False, unique=True),
    sa.Column("version", _text, nullable=False),
    sa.Column("index_digest", _text, nullable=False),
    sa.Column("statement", _text, nullable=False),
    sa.Column("object_digest", _text, nullable=False),
    sa.Column("size_bytes", _int, nullable=False),
    sa.Column("created_at", _real, nullable=False),
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
