"""Users, grants, sessions and API tokens in the database."""

import datetime
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import moments, plain
from service.adapters.schema import grants, sessions, tokens, users
from service.domain.errors import ConflictError, NotFoundError
from service.domain.person import (
    MAX_TOKENS,
    USE_NOTED_EVERY_S,
    Account,
    ApiToken,
    Grant,
    Identity,
    parse_scopes,
    scope_text,
)
from service.domain.repository import Forge, RepositoryId
from service.domain.rights import ADMINISTRATOR, Administrator, Role, TokenId, User, UserId

_TOKEN_MOMENTS = ("created_at", "expires_at", "used_at", "revoked_at")


class DatabasePeople:
    """`service.records.People` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def signed_in(self, identity: Identity, *, now: datetime.datetime) -> Account:
        mine = users.c.id == identity.user
        values = {"login": identity.login, "seen_at": now.timestamp()}
        with self._engine.begin() as connection:
            if not connection.execute(users.update().where(mine).values(**values)).rowcount:
                names = ("forge", "host", "forge_id")
                row = {"id": identity.user, **{name: plain(getattr(identity, name)) for name in names}}
                connection.execute(users.insert().values(**row, **values, created_at=now.timestamp()))
        return self.account(identity.user)

    def account(self, name: UserId) -> Account:
        found = self._accounts(users.c.id == name)
        if not found:
            raise NotFoundError(f"no user {name[:200]!r}: people are known once they signed in")
        return found[0]

    def accounts(self) -> list[Account]:
        return self._accounts(sa.true())

    def forget(self, name: UserId) -> None:
        self.account(name)
        with self._engine.begin() as connection:
            connection.execute(users.delete().where(users.c.id == name))
            connection.execute(grants.delete().where(grants.c.user == name))
            connection.execute(sessions.delete().where(sessions.c.subject == name))
            connection.execute(tokens.delete().where(tokens.c.maker == name))

    def principal(self, subject: str) -> Administrator | User | None:
        if subject == ADMINISTRATOR:
            return Administrator()
        columns = (users.c.login, grants.c.repository, grants.c.role)
        query = sa.select(*columns).join(grants, grants.c.user == users.c.id, isouter=True).where(users.c.id == subject)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        given = {RepositoryId(row.repository): Role(row.role) for row in rows if row.repository is not None}
        return User(id=UserId(subject), login=rows[0].login, grants=given)

    def grant(self, name: UserId, repository: RepositoryId, role: Role) -> None:
        self.account(name)
        here = (grants.c.user == name) & (grants.c.repository == repository)
        with self._engine.begin() as connection:
            if not connection.execute(grants.update().where(here).values(role=role.value)).rowcount:
                connection.execute(grants.insert().values(user=name, repository=repository, role=role.value))

    def withdraw(self, name: UserId, repository: RepositoryId) -> None:
        here = (grants.c.user == name) & (grants.c.repository == repository)
        with self._engine.begin() as connection:
            if not connection.execute(grants.delete().where(here)).rowcount:
                raise NotFoundError(f"{name[:200]!r} has no grant for {repository[:200]!r}")

    def grants(self, *, user: UserId | None = None, repository: RepositoryId | None = None) -> list[Grant]:
        query = sa.select(grants).order_by(grants.c.repository, grants.c.user)
        if user is not None:
            query = query.where(grants.c.user == user)
        if repository is not None:
            query = query.where(grants.c.repository == repository)
        with self._engine.connect() as connection:
            return [Grant(**{**row, "role": Role(row["role"])}) for row in connection.execute(query).mappings()]

    def begin_session(self, name: str, subject: str, *, now: datetime.datetime, until: datetime.datetime) -> None:
        times = {"created_at": now.timestamp(), "expires_at": until.timestamp()}
        with self._engine.begin() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires_at <= now.timestamp()))
            connection.execute(sessions.insert().values(id=name, subject=subject, **times))

    def session(self, name: str, *, now: datetime.datetime) -> str | None:
        query = sa.select(sessions.c.subject).where(sessions.c.id == name, sessions.c.expires_at > now.timestamp())
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def end_session(self, name: str) -> None:
        self._end(sessions.c.id == name)

    def end_sessions(self, subject: str) -> int:
        return self._end(sessions.c.subject == subject)

    def _end(self, condition: sa.ColumnElement[bool]) -> int:
        with self._engine.begin() as connection:
            return connection.execute(sessions.delete().where(condition)).rowcount

    def add_token(self, token: ApiToken) -> None:
        now = token.created_at.timestamp()
        live = (tokens.c.maker == token.maker) & tokens.c.revoked_at.is_(None) & (tokens.c.expires_at > now)
        row = {name: plain(getattr(token, name)) for name in ApiToken.__dataclass_fields__}
        with self._engine.begin() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(tokens).where(live)).scalar() or 0
            if count >= MAX_TOKENS:
                raise ConflictError(f"there are {count} tokens of this maker already: revoke some")
            connection.execute(tokens.insert().values(**{**row, "scopes": scope_text(token.scopes)}))

    def token(self, name: TokenId) -> ApiToken:
        found = self._tokens(tokens.c.id == name)
        if not found:
            raise NotFoundError(f"no token {name[:80]!r}")
        return found[0]

    def tokens(self, maker: str | None = None) -> list[ApiToken]:
        return self._tokens(sa.true() if maker is None else tokens.c.maker == maker)

    def revoke_token(self, name: TokenId, *, now: datetime.datetime) -> None:
        self.token(name)
        self._set(tokens.c.id == name, tokens.c.revoked_at.is_(None), revoked_at=now.timestamp())

    def token_used(self, name: TokenId, *, now: datetime.datetime) -> None:
        before = now.timestamp() - USE_NOTED_EVERY_S
        due = sa.or_(tokens.c.used_at.is_(None), tokens.c.used_at <= before)
        self._set(tokens.c.id == name, due, used_at=now.timestamp())

    def _set(self, *conditions: sa.ColumnElement[bool], **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(tokens.update().where(*conditions).values(**values))

    def _accounts(self, condition: sa.ColumnElement[bool]) -> list[Account]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(users).where(condition).order_by(users.c.id)).mappings().all()
        return [
            Account(**{**row, "forge": Forge(row["forge"]), **moments(row, ("created_at", "seen_at"))}) for row in rows
        ]

    def _tokens(self, condition: sa.ColumnElement[bool]) -> list[ApiToken]:
        query = sa.select(tokens).where(condition).order_by(tokens.c.created_at.desc(), tokens.c.id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            ApiToken(**{**row, "scopes": parse_scopes(row["scopes"]), **moments(row, _TOKEN_MOMENTS)}) for row in rows
        ]
