"""What was fetched for locks of dependencies."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "dependencies",
        sa.Column("lock_digest", sa.Text, primary_key=True),
        sa.Column("object_digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )
