"""The tables of channels, roll-outs and the audit log. A change here needs a step in `migrations/versions`, too."""

import sqlalchemy as sa

from service.adapters.schema_devices import metadata

__all__ = ["AUDIT_TRIGGERS", "audit", "channel_plans", "channel_releases", "metadata", "rollout_devices", "rollouts"]

_text, _int, _real = sa.Text, sa.BigInteger, sa.Float
_key = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # as in `schema`

# Every release that a channel ever pointed at, by its own ref or by promotion; `channels` says which one now.
channel_releases = sa.Table(
    "channel_releases",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("channel", _text, primary_key=True),
    sa.Column("build", _int, primary_key=True, autoincrement=False),
    sa.Column("counter", _int, nullable=False),
    sa.Column("at", _real, nullable=False),
    sa.Column("by", _text, nullable=False, server_default=""),  # empty: by a push
)
# How releases are rolled out that come to a channel, as JSON; without a row by the default.
channel_plans = sa.Table(
    "channel_plans",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("channel", _text, primary_key=True),
    sa.Column("plan", _text, nullable=False),
)
rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("repository", _text, nullable=False),
    sa.Column("channel", _text, nullable=False),
    sa.Column("build", _int, nullable=False),
    sa.Column("counter", _int, nullable=False),
    sa.Column("plan", _text, nullable=False),  # JSON, as it was when this began
    sa.Column("state", _text, nullable=False),
    sa.Column("stage", _int, nullable=False, server_default="0"),
    sa.Column("why", _text, nullable=False, server_default=""),  # it is not going on, for people
    sa.Column("created_at", _real, nullable=False),
    sa.Column("created_by", _text, nullable=False, server_default=""),
    sa.Column("started_at", _real),
    sa.Column("stage_at", _real),  # since when this stage goes on
    sa.Column("finished_at", _real),
    sa.Column("passed_at", _real),  # when this stage had its success
    sa.Column("approved", _int, nullable=False, server_default="0"),  # how many stages may begin
    sa.Column("paced_at", _real),  # up to then the allowance of devices a minute is used
    sa.Column("is_filled", sa.Boolean, nullable=False, server_default=sa.false()),  # all its devices are written down
    sa.Column("undone_by", _int),  # the build that makes again what ran before
    sa.Index("rollouts_of_channel", "repository", "channel", "id"),
    sqlite_autoincrement=True,
)
sa.Index(
    "rollouts_open",
    rollouts.c.id,
    sqlite_where=rollouts.c.finished_at.is_(None),
    postgresql_where=rollouts.c.finished_at.is_(None),
)
rollout_devices = sa.Table(
    "rollout_devices",
    metadata,
    sa.Column("rollout", _int, primary_key=True, autoincrement=False),
    sa.Column("device", _text, primary_key=True),
    sa.Column("stage", _int, nullable=False),
    sa.Column("state", _text, nullable=False),
    sa.Column("reason", _text, nullable=False, server_default=""),
    sa.Column("tries", _int, nullable=False, server_default="0"),
    sa.Column("at", _real, nullable=False),
    sa.Column("due_at", _real),  # not ordered before then (a later try), or not looked at
    sa.Column("delay_s", _real, nullable=False, server_default="0"),  # after its stage began (jitter)
    sa.Column("heard_at", _real),  # it said that it follows the order
    sa.Column("is_excused", sa.Boolean, nullable=False, server_default=sa.false()),  # go on nevertheless
    sa.Index("rollout_devices_by_state", "rollout", "stage", "state", "is_excused"),  # counted without a row
    sa.Index("rollouts_of_device", "device"),
)
# Who did what. Rows are added and never changed or removed.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("at", _real, nullable=False),
    sa.Column("who", _text, nullable=False),
    sa.Column("what", _text, nullable=False),
    sa.Column("repository", _text, nullable=False, server_default=""),
    sa.Column("subject", _text, nullable=False, server_default=""),
    sa.Column("detail", _text, nullable=False, server_default=""),
    sa.Column("chain", _text, nullable=False),  # SHA-256 over the row before and this one
    sa.Index("audit_of_repository", "repository", "id"),
    sqlite_autoincrement=True,
)
# A row that is put in another's place (`insert or replace`) is deleted without a trigger of its own, hence the third.
AUDIT_TRIGGERS = tuple(
    f"create trigger audit_no_{name} before {event} begin select raise(abort, 'the audit log only grows'); end"
    for name, event in (
        ("update", "update on audit"),
        ("delete", "delete on audit"),
        ("replace", "insert on audit when exists (select 1 from audit where id = new.id)"),
    )
)
for _each in AUDIT_TRIGGERS:
    _ddl = sa.DDL(_each).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    sa.event.listen(audit, "after_create", _ddl)
