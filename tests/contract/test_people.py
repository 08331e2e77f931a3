"""What `service.records.People` promises, on SQLite in a file."""

import dataclasses
import datetime
import pathlib
from collections.abc import Iterator

import pytest

from service.adapters.database import open_database
from service.adapters.people import DatabasePeople
from service.domain.errors import ConflictError, NotFoundError
from service.domain.person import MAX_TOKENS, ApiToken, Grant, Identity
from service.domain.repository import Forge, RepositoryId
from service.domain.rights import ADMINISTRATOR, Administrator, Right, Role, TokenId, User, UserId

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(hours=1)
ANN = Identity(forge=Forge.GITLAB, host="git.lan", forge_id="42", login="ann")
BLINK, LAMP = RepositoryId("gitlab:git.lan/acme/blink"), RepositoryId("github/acme/lamp")


@pytest.fixture
def people(tmp_path: pathlib.Path) -> Iterator[DatabasePeople]:
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}", durable=False)
    yield DatabasePeople(engine)
    engine.dispose()


def token(name: str, **fields: object) -> ApiToken:
    made = ApiToken(
        id=TokenId(name),
        maker=ANN.user,
        name="ci",
        scopes=frozenset({Right.BUILD, Right.VIEW}),
        created_at=NOW,
        expires_at=LATER,
    )
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]  # fields of a token


def test_an_account_is_made_once_and_keeps_its_grants(people: DatabasePeople) -> None:
    first = people.signed_in(ANN, now=NOW)
    people.grant(first.id, BLINK, Role.VIEWER)
    second = people.signed_in(dataclasses.replace(ANN, login="anna"), now=LATER)

    assert (first.id, first.login, first.created_at, first.seen_at) == ("gitlab:git.lan/42", "ann", NOW, NOW)
    assert (second.login, second.created_at, second.seen_at) == ("anna", NOW, LATER)
    assert people.accounts() == [second]
    assert people.principal(first.id) == User(id=first.id, login="anna", grants={BLINK: Role.VIEWER})


def test_the_same_number_elsewhere_is_somebody_else(people: DatabasePeople) -> None:
    hosts = ("git.lan", "gitlab.com", "git.lan:8443")
    ids = {people.signed_in(dataclasses.replace(ANN, host=host), now=NOW).id for host in hosts}

    assert ids == {"gitlab:git.lan/42", "gitlab/42", "gitlab:git.lan:8443/42"}


def test_a_principal_is_the_administrator_a_user_or_nobody(people: DatabasePeople) -> None:
    assert people.principal(ADMINISTRATOR) == Administrator()
    assert people.principal(ANN.user) is None
    people.signed_in(ANN, now=NOW)
    assert people.principal(ANN.user) == User(id=ANN.user, login="ann", grants={})


def test_a_grant_is_one_for_a_user_and_a_repository(people: DatabasePeople) -> None:
    with pytest.raises(NotFoundError, match="signed in"):
        people.grant(ANN.user, BLINK, Role.OWNER)
    people.signed_in(ANN, now=NOW)

    people.grant(ANN.user, BLINK, Role.VIEWER)
    people.grant(ANN.user, BLINK, Role.OWNER)
    people.grant(ANN.user, LAMP, Role.VIEWER)

    assert people.grants(repository=BLINK) == [Grant(user=ANN.user, repository=BLINK, role=Role.OWNER)]
    assert [each.repository for each in people.grants(user=ANN.user)] == [LAMP, BLINK]
    people.withdraw(ANN.user, BLINK)
    assert [each.repository for each in people.grants()] == [LAMP]
    with pytest.raises(NotFoundError, match="no grant"):
        people.withdraw(ANN.user, BLINK)


def test_a_session_lasts_until_its_end(people: DatabasePeople) -> None:
    people.begin_session("s1", ANN.user, now=NOW, until=LATER)

    assert people.session("s1", now=NOW) == ANN.user
    assert people.session("s1", now=LATER) is None
    assert people.session("s2", now=NOW) is None
    people.begin_session("s2", ANN.user, now=LATER, until=LATER + datetime.timedelta(1))
    assert people.end_sessions(ANN.user) == 1  # the expired one was forgotten
    people.end_session("s2")
    assert people.session("s2", now=LATER) is None


def test_a_token_is_kept_as_it_was_made(people: DatabasePeople) -> None:
    made = token("t1", repository=BLINK)
    people.add_token(made)
    people.add_token(token("t2", maker=ADMINISTRATOR, created_at=LATER, expires_at=LATER + datetime.timedelta(1)))

    assert people.token(TokenId("t1")) == made
    assert [each.id for each in people.tokens()] == ["t2", "t1"]
    assert people.tokens(ANN.user) == [made]
    with pytest.raises(NotFoundError):
        people.token(TokenId("t3"))


def test_a_token_is_revoked_once_and_its_use_noted_once_a_minute(people: DatabasePeople) -> None:
    people.add_token(token("t1"))
    seen = []
    for seconds in (0, 59, 61):
        people.token_used(TokenId("t1"), now=NOW + datetime.timedelta(seconds=seconds))
        used = people.token(TokenId("t1")).used_at
        assert used is not None
        seen.append((used - NOW).total_seconds())

    people.revoke_token(TokenId("t1"), now=NOW)
    people.revoke_token(TokenId("t1"), now=LATER)

    assert seen == [0, 0, 61]
    assert people.token(TokenId("t1")).revoked_at == NOW
    with pytest.raises(NotFoundError):
        people.revoke_token(TokenId("t9"), now=NOW)


def test_a_maker_has_so_many_tokens_and_no_more(people: DatabasePeople) -> None:
    for number in range(MAX_TOKENS):
        people.add_token(token(f"t{number}"))

    with pytest.raises(ConflictError, match="revoke some"):
        people.add_token(token("one more"))
    people.add_token(token("another's", maker=ADMINISTRATOR))
    people.revoke_token(TokenId("t0"), now=NOW)
    people.add_token(token("in its place"))


def test_nothing_is_left_of_somebody_who_is_forgotten(people: DatabasePeople) -> None:
    people.signed_in(ANN, now=NOW)
    people.grant(ANN.user, BLINK, Role.OWNER)
    people.begin_session("s1", ANN.user, now=NOW, until=LATER)
    people.add_token(token("t1"))

    people.forget(ANN.user)

    assert (people.accounts(), people.grants(), people.tokens()) == ([], [], [])
    assert people.session("s1", now=NOW) is None
    with pytest.raises(NotFoundError):
        people.forget(UserId("gitlab:git.lan/42"))
    assert people.principal(people.signed_in(ANN, now=LATER).id) == User(id=ANN.user, login="ann", grants={})
