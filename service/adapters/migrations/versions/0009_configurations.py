"""Settings and credentials of devices, what they printed, what was done to them, and releases of the agent."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("devices", sa.Column("new_token_digest", sa.Text))
    op.add_column("devices", sa.Column("config", sa.Text, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("retired_at", sa.Float))
    op.add_column("devices", sa.Column("connected", sa.Boolean))
    op.create_table(
        "configurations",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
    )
    op.create_table(
        "device_logs",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "device_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("ix_device_events_device", "device_events", ["device"])
    op.create_table(
        "agents",
        sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("index_digest", sa.Text, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("object_digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
