"""Connections to forges, superseding, requests, marks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def upgrade() -> None:
    _repositories()
    _builds()
    with op.batch_alter_table("deliveries") as table:
        table.alter_column("build", existing_type=sa.BigInteger(), nullable=True)
        table.add_column(_text("kind", "push"))
        table.add_column(_text("said"))
        table.create_index("deliveries_by_time", ["received_at"])
    op.create_table(
        "approvals",
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("request", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("commit", sa.Text, primary_key=True),
        _text("by", None),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("build", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("board", sa.Text, primary_key=True),
        _text("state", None),
        _text("forge_id", None),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.Float),
        _text("error", None),
    )


def _repositories() -> None:
    for name, default in (
        ("host", ""),
        ("old_secret", ""),
        ("check", "token"),
        ("connection", ""),
        ("forge_id", ""),
        ("requests", "approve"),
        ("note", ""),
    ):
        op.add_column("repositories", _text(name, default))
    op.add_column("repositories", sa.Column("old_secret_until", sa.Float))
    op.create_index("repositories_at_forge", "repositories", ["forge", "host", "forge_id"])
    op.execute("update repositories set host = 'github.com' where forge = 'github'")
    op.execute("update repositories set host = 'gitlab.com' where forge = 'gitlab'")
    op.create_table(
        "hooks",
        sa.Column("repository", sa.Text, primary_key=True),
        _text("id"),
        _text("state", "unknown"),
        _text("detail"),
        sa.Column("checked_at", sa.Float),
        sa.Column("recovered_at", sa.Float),
        _text("etag"),
        sa.Column("reconciled_at", sa.Float),
        sa.Column("is_doubtful", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    names = ("forge", "host", "scheme", "kind", "name", "app_id", "slug", "client_id", "sealed")
    op.create_table(
        "connections",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name, None) for name in names),
        sa.Column("created_at", sa.Float, nullable=False),
        _text("note", None),
    )


def _builds() -> None:
    for column in (
        _text("kind", "push"),
        _text("before"),
        sa.Column("changed", sa.Text),
        sa.Column("request", sa.BigInteger),
        sa.Column("may_release", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("superseded_by", sa.BigInteger),
        sa.Column("burst_at", sa.Float),
        sa.Column("is_winding", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("untold", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("tell_at", sa.Float),
    ):
        op.add_column("builds", column)
    op.execute("update builds set kind = 'tag' where ref like 'refs/tags/%'")
    op.create_index("builds_of_commit", "builds", ["repository", "commit"])
    for name, columns, condition in (
        ("builds_open", ["repository", "ref"], "finished_at IS NULL"),
        ("builds_winding", ["id"], "is_winding"),
        ("builds_untold", ["id"], "untold > 0"),
    ):
        where = sa.text(condition)
        op.create_index(name, "builds", columns, sqlite_where=where, postgresql_where=where)
