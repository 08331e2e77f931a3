"""A repository is followed by its address; what is wrong is named, and nothing is kept then."""

import pytest

from service.domain.connection import ConnectionKind
from service.domain.errors import BadInputError, ConflictError, ForgeError, ForgeRefusedError
from service.domain.hook import HookState
from service.domain.repository import Forge, RepositoryId
from service.flows import connect, follow
from service.forge import HookTarget
from tests.unit.service.following import TOKEN, URL, Stage, connect_parts


def test_an_address_and_a_token_are_enough(stage: Stage) -> None:
    done = stage.follow(token=TOKEN)

    kept = stage.parts.repositories.get(RepositoryId("github/acme/blink"))  # as the forge writes it
    assert done.repository == kept
    assert (kept.path, kept.forge_id, kept.default_branch, kept.public) == ("acme/blink", "1", "main", False)
    assert kept.url == "https://github.com/acme/blink.git"
    assert (done.is_registered, done.hook.state, done.hook.id) == (True, HookState.OK, "1")
    assert stage.forge.targets == [HookTarget(url="https://kiln.example/hooks/github/acme/blink", secret=kept.secret)]
    (connection,) = stage.parts.connections.all()
    assert (connection.kind, connection.token, kept.connection) == (ConnectionKind.TOKEN, TOKEN, connection.id)
    assert TOKEN not in repr(connection) + repr(done)


def test_a_connection_that_sees_it_is_taken(stage: Stage) -> None:
    app = connect.add_token(connect.Wanted(url="https://github.com", token=TOKEN), connect_parts(stage))
    stage.forges.seen = app.id

    assert stage.follow().repository.connection == app.id
    assert len(stage.parts.connections.all()) == 1


def test_without_a_connection_the_secret_is_for_the_person(stage: Stage) -> None:
    done = stage.follow()

    assert (done.is_registered, done.repository.connection) == (False, "")
    assert done.repository.id == "github/Acme/Blink"


def test_nothing_is_kept_of_a_repository_that_the_token_does_not_see(stage: Stage) -> None:
    stage.forge.error = ForgeRefusedError("the token does not see acme/blink")

    with pytest.raises(ForgeRefusedError, match="does not see"):
        stage.follow(token=TOKEN)

    assert stage.parts.connections.all() == []
    assert [each.id for each in stage.parts.repositories.all()] == ["local/acme/blink"]


def test_a_second_one_is_refused_and_its_token_forgotten(stage: Stage) -> None:
    stage.follow(token=TOKEN)

    with pytest.raises(ConflictError, match="followed already"):
        stage.follow(token="another-token")

    assert [each.token for each in stage.parts.connections.all()] == [TOKEN]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ForgeRefusedError("the token needs Webhooks: write"), HookState.MISSING),
        (ForgeError("no answer"), HookState.UNREACHABLE),
    ],
)
def test_a_webhook_that_is_not_registered_leaves_its_reason(stage: Stage, error: Exception, state: HookState) -> None:
    stage.forge.hook_error = error

    done = stage.follow(token=TOKEN)
    kept = stage.parts.repositories.hook(done.repository.id)

    assert (done.is_registered, kept.state, kept.detail) == (False, state, str(error))
    stage.forge.hook_error = None
    assert follow.register(done.repository, stage.forge, stage.parts).state is HookState.OK


def test_a_host_of_ones_own_is_what_people_say_and_then_what_its_connection_says(stage: Stage) -> None:
    with pytest.raises(BadInputError, match=r"say what git\.lan is"):
        stage.follow("https://git.lan/acme/blink")

    first = stage.follow("https://git.lan/acme/blink", forge=Forge.GITLAB, token=TOKEN)
    second = stage.follow("https://git.lan/acme/lamp")

    assert first.repository.id == "gitlab:git.lan/acme/blink"
    assert (second.repository.forge, second.repository.host) == (Forge.GITLAB, "git.lan")
    with pytest.raises(BadInputError, match=r"github\.com is github"):
        stage.follow("https://github.com/a/b", forge=Forge.GITLAB)


@pytest.mark.parametrize(
    ("url", "fields", "said"),
    [
        ("https://ada:pw@github.com/a/b", {}, "leave name and password out"),
        ("http://github.com/a/b", {}, "is reached by https://"),
        ("https://github.com/b", {}, "path is like owner/name"),
        ("file:///srv/git/b.git", {}, "say what to call it"),
        ("file:///srv/git/b.git", {"path": "-x/y"}, "path is like owner/name"),
        ("file:///srv/git/b.git", {"path": "a/b", "token": TOKEN}, "a token is for GitHub and GitLab"),
        (URL, {"token": "two words"}, "a token is"),
        (URL, {"token": "line\nline"}, "a token is"),
        (URL, {"token": "x" * 20_000}, "a token is"),
        (URL, {"secret": "short"}, "secret has 16 to 200"),
        (URL, {"default_branch": "b" * 300}, "it has not 1 to 200 characters"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(
    stage: Stage, url: str, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        stage.follow(url, **fields)

    assert "x" * 100 not in str(caught.value)
    assert len(stage.parts.repositories.all()) == 1
    assert stage.parts.connections.all() == []
