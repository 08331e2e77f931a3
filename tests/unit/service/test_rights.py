"""Who may do what: the whole table, by hand."""

import itertools
import pathlib
import re

import pytest

from service.domain.errors import BadInputError
from service.domain.person import MAX_TOKEN_DAYS, check_token, parse_role, parse_scopes, scope_text
from service.domain.repository import Forge, Repository, RepositoryId
from service.domain.rights import (
    Administrator,
    Anonymous,
    Principal,
    Right,
    Role,
    Token,
    TokenId,
    User,
    UserId,
    allows,
    covered,
)

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "rights.md"
V, B, D, M, A = Right.VIEW, Right.BUILD, Right.DEVICES, Right.MANAGE, Right.ADMIN
OF_OWNER = {V, B, D, M}


def repository(name: str, *, public: bool = False) -> Repository:
    return Repository(
        id=RepositoryId(f"github/acme/{name}"), forge=Forge.GITHUB, path=name, url="", secret="", public=public
    )


OWN, OTHER = repository("own"), repository("other")
OPEN, OPEN_OTHER = repository("own", public=True), repository("other", public=True)


def user(role: Role | None) -> User:
    return User(id=UserId("github/1"), grants={} if role is None else {OWN.id: role})


def token(maker: Administrator | User, *scopes: Right, only: Repository | None = None) -> Token:
    return Token(id=TokenId("t"), maker=maker, scopes=frozenset(scopes), repository=only.id if only else None)


OWNER, VIEWER, VISITOR, ADMIN = user(Role.OWNER), user(Role.VIEWER), user(None), Administrator()

# Principal, and what it may do to: its own private repository, another private one, a public one where it has the same
# grant, another public one, the instance.
TABLE: list[tuple[str, Principal, set[Right], set[Right], set[Right], set[Right], set[Right]]] = [
    ("anonymous", Anonymous(), set(), set(), {V}, {V}, set()),
    ("administrator", ADMIN, set(Right), set(Right), set(Right), set(Right), set(Right)),
    ("user without grants", VISITOR, set(), set(), {V}, {V}, set()),
    ("viewer", VIEWER, {V}, set(), {V}, {V}, set()),
    ("owner", OWNER, OF_OWNER, set(), OF_OWNER, {V}, set()),
    ("owner's token, view", token(OWNER, V), {V}, set(), {V}, {V}, set()),
    ("owner's token, build", token(OWNER, B), {V, B}, set(), {V, B}, {V}, set()),
    ("owner's token, devices", token(OWNER, D), {V, D}, set(), {V, D}, {V}, set()),
    ("owner's token, manage", token(OWNER, M), {V, M}, set(), {V, M}, {V}, set()),
    ("owner's token, admin", token(OWNER, A), OF_OWNER, set(), OF_OWNER, {V}, set()),
    ("owner's token, no scope", token(OWNER), set(), set(), {V}, {V}, set()),
    ("owner's token for the other", token(OWNER, B, M, only=OTHER), set(), set(), {V}, {V}, set()),
    ("owner's token for this one", token(OWNER, B, only=OWN), {V, B}, set(), {V, B}, {V}, set()),
    ("viewer's token, everything", token(VIEWER, V, B, D, M, A), {V}, set(), {V}, {V}, set()),
    ("visitor's token, everything", token(VISITOR, V, B, D, M, A), set(), set(), {V}, {V}, set()),
    ("administrator's token, view", token(ADMIN, V), {V}, {V}, {V}, {V}, {V}),
    ("administrator's token, build", token(ADMIN, B), {V, B}, {V, B}, {V, B}, {V, B}, {V, B}),
    ("administrator's token, admin", token(ADMIN, A), set(Right), set(Right), set(Right), set(Right), set(Right)),
    ("administrator's token for one", token(ADMIN, B, only=OWN), {V, B}, set(), {V, B}, {V}, set()),
    ("administrator's token, admin of one", token(ADMIN, A, only=OWN), OF_OWNER, set(), OF_OWNER, {V}, set()),
]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_every_principal_has_the_rights_of_its_row(row: tuple[str, Principal, *tuple[set[Right], ...]]) -> None:
    _, principal, *expected = row

    for where, rights in zip((OWN, OTHER, OPEN, OPEN_OTHER, None), expected, strict=True):
        assert {right for right in Right if allows(principal, right, where)} == rights, where


@pytest.mark.parametrize("scopes", [frozenset(each) for n in range(6) for each in itertools.combinations(Right, n)])
@pytest.mark.parametrize("maker", [ADMIN, OWNER, VIEWER, VISITOR])
@pytest.mark.parametrize("only", [None, OWN, OTHER])
def test_a_token_never_exceeds_its_maker(
    scopes: frozenset[Right], maker: Administrator | User, only: Repository | None
) -> None:
    held = token(maker, *scopes, only=only)

    for right, where in itertools.product(Right, (OWN, OTHER, OPEN, OPEN_OTHER, None)):
        assert not allows(held, right, where) or allows(maker, right, where)


def test_whoever_may_do_anything_may_see_it() -> None:
    for _, principal, *_ in TABLE:
        for right, where in itertools.product(Right, (OWN, OTHER, OPEN, OPEN_OTHER)):
            assert not allows(principal, right, where) or allows(principal, V, where)


def test_a_lost_grant_is_lost_for_tokens_made_before() -> None:
    before = token(OWNER, B, M)

    assert allows(before, B, OWN)
    assert not allows(token(user(None), *before.scopes), B, OWN)


def test_no_scope_covers_nothing() -> None:
    assert covered(frozenset()) == frozenset()


# -- the table in the docs


def test_the_docs_have_this_table() -> None:
    """Rows of docs/rights.md: who, then a cross for each right in the order of the head."""
    text = DOCS.read_text("utf-8")
    head = next(line for line in text.splitlines() if line.startswith("| who |"))
    columns = re.findall(r"`(\w+)`", head)
    assert columns == [right.value for right in Right]
    principals: dict[str, tuple[Principal, Repository]] = {
        "anybody, of a private repository": (Anonymous(), OWN),
        "anybody, of a public repository": (Anonymous(), OPEN),
        "a user without a grant for it, private": (VISITOR, OWN),
        "a user without a grant for it, public": (VISITOR, OPEN),
        "its viewer": (VIEWER, OWN),
        "its owner": (OWNER, OWN),
        "the administrator": (ADMIN, OWN),
    }
    rows = dict(re.findall(r"^\| ([a-z][^|]+?) \| ([^|\n]+(?:\| [^|\n]+)+) \|$", text, re.MULTILINE))
    for who, (principal, where) in principals.items():
        said = [cell.strip() for cell in rows[who].split("|")]
        assert said == ["yes" if allows(principal, right, where) else "no" for right in Right], who


# -- words


@pytest.mark.parametrize("text", ["", " ", "views", "view,build", "VIEW", "view " * 6, "view\x00", "admin root"])
def test_a_scope_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="view, build, devices, manage, admin"):
        parse_scopes(text)


def test_scopes_are_read_as_they_are_written() -> None:
    assert parse_scopes("build  view view") == {V, B}
    assert scope_text(frozenset({M, V})) == "view manage"
    assert parse_scopes(scope_text(frozenset(Right))) == frozenset(Right)


def test_a_role_is_one_of_two() -> None:
    assert [parse_role(each) for each in ("viewer", "owner")] == [Role.VIEWER, Role.OWNER]
    with pytest.raises(BadInputError, match="viewer or owner"):
        parse_role("admin")


@pytest.mark.parametrize(
    ("name", "scopes", "only", "days", "said"),
    [
        ("", {V}, None, 1, "name"),
        (" ", {V}, None, 1, "name"),
        ("x" * 81, {V}, None, 1, "name"),
        ("a\nb", {V}, None, 1, "name"),
        ("x", {V}, None, 0, "days"),
        ("x", {V}, None, MAX_TOKEN_DAYS + 1, "days"),
        ("x", {V}, None, -(10**9), "days"),
        ("x", {A}, OWN.id, 1, "whole instance"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    name: str, scopes: set[Right], only: RepositoryId | None, days: int, said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        check_token(name, frozenset(scopes), only, days)
