"""What was there before a repository was followed, builds that were found by looking, and the writes of marks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "heads",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("built", sa.Text, nullable=False),
    )
    op.add_column("builds", sa.Column("is_found", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("marks", sa.Column("since", sa.Float))
    op.add_column("marks", sa.Column("writes", sa.BigInteger, nullable=False, server_default="0"))
