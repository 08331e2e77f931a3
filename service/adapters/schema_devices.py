"""The tables of devices. A change here needs a step in `migrations/versions`, too."""

import sqlalchemy as sa

from service.adapters.schema import metadata

__all__ = [
    "agents",
    "claims",
    "configurations",
    "device_events",
    "device_logs",
    "device_tags",
    "devices",
    "groups",
    "metadata",
    "outbox",
    "reports",
    "shared_settings",
]

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
    sa.Column("label", _text, nullable=False, server_default=""),
    sa.Column("group", _text, nullable=False, server_default=""),  # empty: in none
    sa.Column("pin", _int),  # the build whose release it shall run, whatever its channel does
    sa.Column("hold", _text, nullable=False, server_default=""),  # why it is not sent what it would get, for people
    sa.Column("may_install", sa.Boolean, nullable=False, server_default=sa.false()),  # by a button of others
    sa.Column("state", _text, nullable=False, server_default=""),  # of its report; empty before the first one
    sa.Column("version", _text, nullable=False, server_default=""),  # likewise
    sa.Index("devices_of_channel", "repository", "channel"),
    sa.Index("devices_in_order", "repository", "id"),
    # All that a list of devices is searched by, in its order: no row is read but those of a page.
    sa.Index(
        "devices_inventory",
        *("id", "retired_at", "repository", "channel", "group", "board", "state", "version"),
        *("connected", "seen_at", "pin", "hold", "label"),
    ),
)
device_tags = sa.Table(
    "device_tags",
    metadata,
    sa.Column("device", _text, primary_key=True),
    sa.Column("tag", _text, primary_key=True),
    sa.Index("devices_of_tag", "tag", "device"),
)
groups = sa.Table(
    "groups",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("name", _text, primary_key=True),
    sa.Column("created_at", _real, nullable=False),
)
# What all devices of a repository, or of one of its groups, are given unless they have a value of their own.
shared_settings = sa.Table(
    "shared_settings",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("group", _text, primary_key=True),  # empty: all devices of the repository
    sa.Column("sealed", _text, nullable=False),
    # Since these were changed last, devices up to this id, in the order of ids, have them; NULL: all of them.
    sa.Column("after", _text),
    sa.Column("version", _int, nullable=False, server_default="1"),
)
# One-time codes by which boards enrol themselves.
claims = sa.Table(
    "claims",
    metadata,
    sa.Column("name", _text, primary_key=True),  # made of the code, which nobody finds from it
    sa.Column("repository", _text, nullable=False),
    sa.Column("board", _text, nullable=False),
    sa.Column("channel", _text, nullable=False),
    sa.Column("group", _text, nullable=False, server_default=""),
    sa.Column("label", _text, nullable=False, server_default=""),
    sa.Column("wanted_id", _text, nullable=False, server_default=""),  # empty: the service makes one
    sa.Column("sealed", _text, nullable=False),  # code and settings; empty when nobody needs them any more
    sa.Column("made_by", _text, nullable=False),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("expires_at", _real, nullable=False),
    sa.Column("used_at", _real),
    sa.Column("seed_digest", _text, nullable=False, server_default=""),  # of the seed of the board that used it
    sa.Column("device", _text, nullable=False, server_default=""),
    sa.Index("claims_of_repository", "repository", "name"),
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
