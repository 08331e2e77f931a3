"""Groups, tags, pins and claims of devices, shared settings, channels with a history, roll-outs, and the audit log."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_GROWS = "the audit log only grows"
_IS_THERE = "exists (select 1 from audit where id = new.id)"
_key = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only so


def upgrade() -> None:
    op.add_column("builds", sa.Column("commits", sa.Text))
    op.add_column("builds", sa.Column("tag_message", sa.Text, nullable=False, server_default=""))
    op.add_column("builds", sa.Column("undoes", sa.BigInteger))
    op.add_column("builds", sa.Column("channel", sa.Text, nullable=False, server_default=""))
    _devices()
    _releases()
    _rollouts()
    op.create_table(
        "audit",
        sa.Column("id", _key, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False, server_default=""),
        sa.Column("subject", sa.Text, nullable=False, server_default=""),
        sa.Column("detail", sa.Text, nullable=False, server_default=""),
        sa.Column("chain", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_of_repository", "audit", ["repository", "id"])
    if op.get_bind().dialect.name == "sqlite":
        for each in ("update on audit", "delete on audit", f"insert on audit when {_IS_THERE}"):
            name = f"audit_no_{'replace' if 'when' in each else each.partition(' ')[0]}"
            op.execute(f"create trigger {name} before {each} begin select raise(abort, '{_GROWS}'); end")


def _devices() -> None:
    op.add_column("devices", sa.Column("label", sa.Text, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("group", sa.Text, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("pin", sa.BigInteger))
    op.add_column("devices", sa.Column("hold", sa.Text, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("may_install", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("devices_in_order", "devices", ["repository", "id"])
    op.add_column("devices", sa.Column("state", sa.Text, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("version", sa.Text, nullable=False, server_default=""))
    _reported()
    inventory = ["id", "retired_at", "repository", "channel", "group", "board", "state", "version"]
    op.create_index("devices_inventory", "devices", [*inventory, "connected", "seen_at", "pin", "hold", "label"])
    op.create_table(
        "device_tags",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("tag", sa.Text, primary_key=True),
    )
    op.create_index("devices_of_tag", "device_tags", ["tag", "device"])
    op.create_table(
        "groups",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "shared_settings",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("group", sa.Text, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("after", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
    )
    op.create_table(
        "claims",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("board", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False, server_default=""),
        sa.Column("label", sa.Text, nullable=False, server_default=""),
        sa.Column("wanted_id", sa.Text, nullable=False, server_default=""),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("used_at", sa.Float),
        sa.Column("seed_digest", sa.Text, nullable=False, server_default=""),
        sa.Column("device", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("claims_of_repository", "claims", ["repository", "name"])


def _reported() -> None:
    """State and version of devices that reported before there were columns for them."""
    connection = op.get_bind()
    devices = sa.table("devices", *map(sa.column, ("id", "report", "state", "version")))
    reported = sa.select(devices.c.id, devices.c.report).where(devices.c.report.is_not(None))
    for name, text in connection.execute(reported).all():
        report = json.loads(text)
        values = {each: str(report.get(each, "")) for each in ("state", "version")}
        connection.execute(devices.update().where(devices.c.id == name).values(**values))


def _releases() -> None:
    op.add_column("releases", sa.Column("notes", sa.Text, nullable=False, server_default=""))
    op.add_column("releases", sa.Column("withdrawn_at", sa.Float))
    op.add_column("releases", sa.Column("withdrawn_why", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "channel_releases",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("build", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("by", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "channel_plans",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("plan", sa.Text, nullable=False),
    )
    op.execute(
        "INSERT INTO channel_releases (repository, channel, build, counter, at)"
        " SELECT repository, channel, build, counter, created_at FROM releases WHERE channel IS NOT NULL"
    )


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", _key, primary_key=True),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("build", sa.BigInteger, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stage", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("why", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False, server_default=""),
        sa.Column("started_at", sa.Float),
        sa.Column("stage_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sa.Column("passed_at", sa.Float),
        sa.Column("approved", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("paced_at", sa.Float),
        sa.Column("is_filled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("undone_by", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("rollouts_of_channel", "rollouts", ["repository", "channel", "id"])
    op.create_index(
        "rollouts_open",
        "rollouts",
        ["id"],
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "rollout_devices",
        sa.Column("rollout", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("stage", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("tries", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float),
        sa.Column("delay_s", sa.Float, nullable=False, server_default="0"),
        sa.Column("heard_at", sa.Float),
        sa.Column("is_excused", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("rollout_devices_by_state", "rollout_devices", ["rollout", "stage", "state", "is_excused"])
    op.create_index("rollouts_of_device", "rollout_devices", ["device"])
