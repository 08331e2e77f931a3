"""The cache key of each result, by which a later job takes it over."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cache_key", sa.Text))
    op.create_index("jobs_kept", "jobs", ["cache_key"], sqlite_where=sa.text("cache_key IS NOT NULL"))
