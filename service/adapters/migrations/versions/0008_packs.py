"""The packs that were made."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "packs",
        sa.Column("older", sa.Text, primary_key=True),
        sa.Column("newer", sa.Text, primary_key=True),
        sa.Column("object_digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )
