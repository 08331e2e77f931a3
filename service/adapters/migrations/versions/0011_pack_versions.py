"""Packs in more than one version of their format. Those that were made are made anew when a device asks."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.drop_table("packs")
    op.create_table(
        "packs",
        sa.Column("older", sa.Text, primary_key=True),
        sa.Column("newer", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("object_digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )
