"""The tables, portable between SQLite and PostgreSQL. A change here needs a step in `migrations/versions`."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
_text, _int, _real = sa.Text, sa.BigInteger, sa.Float
# SQLite numbers rows by itself only when the key is a plain INTEGER
_key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _where(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    """Of a partial index, in each dialect's words."""
    return {"sqlite_where": condition, "postgresql_where": condition}


repositories = sa.Table(
    "repositories",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("forge", _text, nullable=False),
    sa.Column("path", _text, nullable=False),
    sa.Column("url", _text, nullable=False),
    sa.Column("secret", _text, nullable=False),
    sa.Column("default_branch", _text, nullable=False),
    sa.Column("public", sa.Boolean, nullable=False),
    sa.Column("host", _text, nullable=False, server_default=""),
    sa.Column("old_secret", _text, nullable=False, server_default=""),
    sa.Column("old_secret_until", _real),
    sa.Column("check", _text, nullable=False, server_default="token"),
    sa.Column("connection", _text, nullable=False, server_default=""),
    sa.Column("forge_id", _text, nullable=False, server_default=""),
    sa.Column("requests", _text, nullable=False, server_default="approve"),
    sa.Column("note", _text, nullable=False, server_default=""),
    sa.Index("repositories_at_forge", "forge", "host", "forge_id"),
)
hooks = sa.Table(
    "hooks",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("id", _text, nullable=False, server_default=""),
    sa.Column("state", _text, nullable=False, server_default="unknown"),
    sa.Column("detail", _text, nullable=False, server_default=""),
    sa.Column("checked_at", _real),
    sa.Column("recovered_at", _real),
    sa.Column("etag", _text, nullable=False, server_default=""),
    sa.Column("reconciled_at", _real),
    sa.Column("is_doubtful", sa.Boolean, nullable=False, server_default=sa.false()),
)
connections = sa.Table(
    "connections",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("forge", _text, nullable=False),
    sa.Column("host", _text, nullable=False),
    sa.Column("scheme", _text, nullable=False),
    sa.Column("kind", _text, nullable=False),
    sa.Column("name", _text, nullable=False),
    sa.Column("app_id", _text, nullable=False),
    sa.Column("slug", _text, nullable=False),
    sa.Column("client_id", _text, nullable=False),
    sa.Column("sealed", _text, nullable=False),  # the secrets, as JSON, encrypted
    sa.Column("created_at", _real, nullable=False),
    sa.Column("note", _text, nullable=False),
)
builds = sa.Table(
    "builds",
    metadata,
    sa.Column("id", _key, primary_key=True),
    sa.Column("repository", _text, nullable=False),
    sa.Column("number", _int, nullable=False),
    sa.Column("ref", _text, nullable=False),
    sa.Column("commit", _text, nullable=False),
    sa.Column("title", _text, nullable=False),
    sa.Column("author", _text, nullable=False),
    sa.Column("status", _text, nullable=False),
    sa.Column("message", _text, nullable=False, default=""),
    sa.Column("source_digest", _text, nullable=False, default=""),
    sa.Column("source_bytes", _int, nullable=False, default=0),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("finished_at", _real),
    sa.Column("kind", _text, nullable=False, server_default="push"),
    sa.Column("before", _text, nullable=False, server_default=""),
    sa.Column("changed", _text),  # JSON list of paths; NULL: not known
    sa.Column("request", _int),
    sa.Column("may_release", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("superseded_by", _int),
    sa.Column("burst_at", _real),  # NULL: as created_at
    sa.Column("is_winding", sa.Boolean, nullable=False, server_default=sa.false()),  # cancelled, perhaps still at work
    sa.Column("untold", _int, nullable=False, server_default="0"),  # changes since its forge was told
    sa.Column("tell_at", _real),  # not before then
    sa.Column("is_found", sa.Boolean, nullable=False, server_default=sa.false()),  # by looking, not by a delivery
    sa.Column("commits", _text),  # JSON list of [commit, title], newest last; NULL: the push did not say
    sa.Column("tag_message", _text, nullable=False, server_default=""),
    sa.Column("undoes", _int),  # the roll-out that was aborted, for whose devices it makes again what ran before
    sa.Column("channel", _text, nullable=False, server_default=""),  # of its release; empty: by its ref
    sa.UniqueConstraint("repository", "number"),
    sa.Index("builds_of_ref", "repository", "ref", "number"),
    sa.Index("builds_of_commit", "repository", "commit"),
    sqlite_autoincrement=True,
)
# Partial indexes: what is still going on is little beside what ever was.
sa.Index("builds_open", builds.c.repository, builds.c.ref, **_where(builds.c.finished_at.is_(None)))
sa.Index("builds_winding", builds.c.id, **_where(builds.c.is_winding))
sa.Index("builds_untold", builds.c.id, **_where(builds.c.untold > 0))
approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("request", _int, primary_key=True, autoincrement=False),
    sa.Column("commit", _text, primary_key=True),
    sa.Column("by", _text, nullable=False),
    sa.Column("at", _real, nullable=False),
)
marks = sa.Table(
    "marks",
    metadata,
    sa.Column("build", _int, primary_key=True, autoincrement=False),
    sa.Column("board", _text, primary_key=True),
    sa.Column("state", _text, nullable=False),
    sa.Column("forge_id", _text, nullable=False),
    sa.Column("tries", _int, nullable=False),
    sa.Column("next_at", _real),
    sa.Column("error", _text, nullable=False),
    sa.Column("since", _real),
    sa.Column("writes", _int, nullable=False, server_default="0"),
)
# Where refs were seen that were not built: at the first look at a repository, or because a push asked to be skipped.
# A row counts as long as the ref's newest build is still of the commit `built`.
heads = sa.Table(
    "heads",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("ref", _text, primary_key=True),
    sa.Column("commit", _text, nullable=False),
    sa.Column("built", _text, nullable=False),  # empty: never
)
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("delivery", _text, primary_key=True),
    sa.Column("build", _int),
    sa.Column("received_at", _real, nullable=False),
    sa.Column("kind", _text, nullable=False, server_default="push"),
    sa.Column("said", _text, nullable=False, server_default=""),
    sa.Index("deliveries_by_time", "received_at"),
)
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("build", _int, nullable=False, index=True),
    sa.Column("board", _text, nullable=False),
    sa.Column("family", _text, nullable=False),
    sa.Column("status", _text, nullable=False),
    sa.Column("result", _text),  # the runner's result, as JSON
    sa.Column("cache_key", _text),  # of a success: a later job of the same request may take it over
    sa.UniqueConstraint("build", "board"),
)
sa.Index("jobs_kept", jobs.c.cache_key, **_where(jobs.c.cache_key.is_not(None)))
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("build", _int, primary_key=True, autoincrement=False),
    sa.Column("repository", _text, nullable=False),
    sa.Column("name", _text, nullable=False),
    sa.Column("version", _text, nullable=False),
    sa.Column("counter", _int, nullable=False),
    sa.Column("channel", _text),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("notes", _text, nullable=False, server_default=""),
    sa.Column("withdrawn_at", _real),
    sa.Column("withdrawn_why", _text, nullable=False, server_default=""),
    sa.UniqueConstraint("repository", "counter"),
)
bundles = sa.Table(
    "bundles",
    metadata,
    sa.Column("digest", _text, primary_key=True),
    sa.Column("build", _int, nullable=False),
    sa.Column("board", _text, nullable=False),
    sa.Column("statement", _text, nullable=False),
    sa.Column("object_digest", _text, nullable=False),
    sa.Column("size_bytes", _int, nullable=False),
    sa.UniqueConstraint("build", "board"),
)
# Refers to no row but its build's number: bundles and artifacts may be deleted, and this stays.
attestations = sa.Table(
    "attestations",
    metadata,
    sa.Column("build", _int, primary_key=True, autoincrement=False),
    sa.Column("kind", _text, primary_key=True),
    sa.Column("board", _text, primary_key=True),  # empty: of all boards
    sa.Column("digest", _text, nullable=False),
    sa.Column("size_bytes", _int, nullable=False),
    sa.Column("created_at", _real, nullable=False),
)
channels = sa.Table(
    "channels",
    metadata,
    sa.Column("repository", _text, primary_key=True),
    sa.Column("channel", _text, primary_key=True),
    sa.Column("build", _int, nullable=False),
    sa.Column("counter", _int, nullable=False),
)
users = sa.Table(
    "users",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("forge", _text, nullable=False),
    sa.Column("host", _text, nullable=False),
    sa.Column("forge_id", _text, nullable=False),
    sa.Column("login", _text, nullable=False),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("seen_at", _real, nullable=False),
)
grants = sa.Table(
    "grants",
    metadata,
    sa.Column("user", _text, primary_key=True),
    sa.Column("repository", _text, primary_key=True),
    sa.Column("role", _text, nullable=False),
    sa.Index("grants_of_repository", "repository"),
)
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("subject", _text, nullable=False, index=True),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("expires_at", _real, nullable=False),
)
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", _text, primary_key=True),
    sa.Column("maker", _text, nullable=False, index=True),
    sa.Column("name", _text, nullable=False),
    sa.Column("scopes", _text, nullable=False),
    sa.Column("repository", _text),
    sa.Column("created_at", _real, nullable=False),
    sa.Column("expires_at", _real, nullable=False),
    sa.Column("used_at", _real),
    sa.Column("revoked_at", _real),
)
# What was fetched for a lock, by the digest of what it names: it is fetched once, ever.
dependencies = sa.Table(
    "dependencies",
    metadata,
    sa.Column("lock_digest", _text, primary_key=True),
    sa.Column("object_digest", _text, nullable=False),
    sa.Column("size_bytes", _int, nullable=False),
)
# From which release to which a pack was made: it is made once, ever.
packs = sa.Table(
    "packs",
    metadata,
    sa.Column("older", _text, primary_key=True),  # "-": from nothing
    sa.Column("newer", _text, primary_key=True),
    sa.Column("version", _int, primary_key=True, autoincrement=False),  # of the format
    sa.Column("object_digest", _text, nullable=False),  # empty: the bundle is not larger
    sa.Column("size_bytes", _int, nullable=False),
)
