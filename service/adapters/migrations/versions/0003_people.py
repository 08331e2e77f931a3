"""Users, grants, sessions, API tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _moment(name: str, *, always: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=not always)


def _key(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def upgrade() -> None:
    names = ("forge", "host", "forge_id", "login")
    op.create_table("users", _key(), *map(_text, names), _moment("created_at"), _moment("seen_at"))
    op.create_table("grants", _key("user"), _key("repository"), _text("role"))
    op.create_index("grants_of_repository", "grants", ["repository"])
    op.create_table("sessions", _key(), _text("subject"), _moment("created_at"), _moment("expires_at"))
    op.create_index("ix_sessions_subject", "sessions", ["subject"])
    op.create_table(
        "tokens",
        _key(),
        *map(_text, ("maker", "name", "scopes")),
        sa.Column("repository", sa.Text),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("used_at", always=False),
        _moment("revoked_at", always=False),
    )
    op.create_index("ix_tokens_maker", "tokens", ["maker"])
