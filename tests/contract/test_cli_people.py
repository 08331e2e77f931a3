"""`kiln users` and `kiln tokens` against a service over HTTP."""

import pathlib
from collections.abc import Iterator

import pytest

from service.domain.rights import Role
from tests.contract.terminal import Terminal
from tests.fakes.site import Site


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    made.follow("acme/blink")
    yield made
    made.close()


def test_a_user_is_let_in_and_out(site: Site, terminal: Terminal) -> None:
    user = site.user(583231, "octocat")

    granted = terminal.run(f"users grant {user} github/acme/blink --role owner")
    listed = terminal.run("users list")
    revoked = terminal.run(f"users revoke {user} github/acme/blink")

    assert granted == (0, {"user": user, "repository": "github/acme/blink", "role": "owner"})
    assert listed[1][0]["grants"] == {"github/acme/blink": "owner"}
    assert revoked[0] == 0
    assert site.kiln.people.grants() == []
    assert terminal.run(f"users sign-out {user}") == (0, {"user": user, "ended": 0})
    assert terminal.run(f"users remove {user}") == (0, {"removed": user})
    assert terminal.run(f"users remove {user}") == (
        1,
        f"kiln: no user '{user}': people are known once they signed in\n",
    )


def test_a_token_is_made_used_and_revoked(site: Site, terminal: Terminal) -> None:
    code, made = terminal.run("tokens add --name ci --scope view --scope build --repository github/acme/blink --days 7")
    assert code == 0
    assert (made["scopes"], made["repository"]) == ("view build", "github/acme/blink")

    assert terminal.run("repos list", token=made["token"])[0] == 0
    code, said = terminal.run("users list", token=made["token"])
    assert (code, "right admin" in said) == (1, True)
    assert [each["id"] for each in terminal.run("tokens list")[1]] == [made["id"]]
    assert terminal.run(f"tokens revoke {made['id']}") == (0, {"revoked": made["id"]})
    assert terminal.run("repos list", token=made["token"]) == (1, "kiln: the token was revoked\n")


def test_a_mistake_is_named(site: Site, terminal: Terminal) -> None:
    site.user(1, secret=Role.VIEWER)

    assert "days is 1 to 365" in terminal.run("tokens add --name x --scope view --days 0")[1]
    assert "whole instance" in terminal.run("tokens add --name x --scope admin --repository github/acme/blink")[1]
    assert "no user" in terminal.run("users grant github/9 github/acme/blink --role viewer")[1]
    assert "no repository" in terminal.run("users grant github/1 github/no/such --role viewer")[1]
