"""A repository is followed by its address, put right, given new secrets, and let go."""

import dataclasses
import datetime
from dataclasses import dataclass, field

import pytest

from service.adapters.connections import DatabaseConnections
from service.adapters.sealing import Sealer
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.device import Device, DeviceId
from service.domain.errors import BadInputError, ConflictError, ForgeError, ForgeRefusedError, NotFoundError
from service.domain.event import EventKind
from service.domain.hook import HookState
from service.domain.repository import Check, Forge, Repository, RepositoryId
from service.flows import connect, follow, rotate
from service.forge import ForgeApi, HookTarget, RemoteHook
from tests.fakes.forge import MemoryForge
from tests.unit.service.conftest import NOW, World

TOKEN = "ghp_a-token-that-nobody-may-see"
URL = "https://github.com/Acme/Blink"


@dataclass
class Watched(MemoryForge):
    """Keeps what the webhook was registered with."""

    targets: list[HookTarget] = field(default_factory=list)
    hook_error: Exception | None = None

    def ensure_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        if self.hook_error is not None:
            raise self.hook_error
        self.targets.append(target)
        return super().ensure_hook(target, hook)

    def remove_hook(self, hook: str) -> None:
        if self.hook_error is not None:
            raise self.hook_error
        super().remove_hook(hook)


class OneForge:
    """`service.forge.Forges` with the same forge behind every connection; `seen` is what `find` answers."""

    def __init__(self, forge: Watched) -> None:
        self.forge = forge
        self.seen: str | None = None

    def api(self, repository: Repository) -> ForgeApi | None:
        return self.forge if repository.is_connected else None

    def find(self, url: str) -> tuple[str, ForgeApi] | None:
        return None if self.seen is None else (self.seen, self.forge)


@dataclass
class Stage:
    world: World
    forge: Watched
    forges: OneForge
    parts: follow.Parts
    changes: list[str]

    def follow(self, url: str = URL, **fields: object) -> follow.Followed:
        return follow.follow(follow.Wanted(url=url, **fields), self.parts)  # type: ignore[arg-type]


@pytest.fixture
def stage(world: World) -> Stage:
    engine = world.repositories._engine
    forge, changes = Watched(clock=world.clock), list[str]()
    forges = OneForge(forge)
    parts = follow.Parts(
        repositories=world.repositories,
        connections=DatabaseConnections(engine, Sealer(b"k" * 32)),
        builds=world.builds,
        fleet=world.fleet,
        forges=forges,
        clock=world.clock,
        new_secret=lambda check: f"{check.value}-secret-{len(changes):024}",
        hook_url=lambda name: f"https://kiln.example/hooks/{name}",
        changed=lambda: changes.append("changed"),
    )
    return Stage(world, forge, forges, parts, changes)


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


def test_gitlabs_signing_token_is_of_its_form(stage: Stage) -> None:
    whsec = "whsec_" + "A" * 43 + "="

    done = stage.follow("https://gitlab.com/acme/blink", token=TOKEN, signing=True, secret=whsec)

    assert (done.repository.check, done.repository.secret) == (Check.SIGNATURE, whsec)
    with pytest.raises(BadInputError, match="whsec_"):
        stage.follow("https://gitlab.com/acme/other", signing=True, secret="a plain secret, long enough")


def test_a_host_of_ones_own_is_what_people_say_and_then_what_its_connection_says(stage: Stage) -> None:
    with pytest.raises(BadInputError, match=r"say what git\.lan is"):
        stage.follow("https://git.lan/acme/blink")

    first = stage.follow("https://git.lan/acme/blink", forge=Forge.GITLAB, token=TOKEN)
    second = stage.follow("https://git.lan/acme/lamp")

    assert first.repository.id == "gitlab:git.lan/acme/blink"
    assert (second.repository.forge, second.repository.host) == (Forge.GITLAB, "git.lan")
    with pytest.raises(BadInputError, match=r"github\.com is github"):
        stage.follow("https://github.com/a/b", forge=Forge.GITLAB)


def test_plain_git_keeps_its_password_sealed_and_out_of_the_address(stage: Stage) -> None:
    done = stage.follow("http://ada:s3cret@git.lan/repos/lamp.git", forge=Forge.LOCAL, path="acme/lamp")

    assert (done.repository.id, done.repository.url) == ("local/acme/lamp", "http://git.lan/repos/lamp.git")
    connection = stage.parts.connections.get(ConnectionId(done.repository.connection))
    assert (connection.username, connection.token, connection.forge) == ("ada", "s3cret", Forge.LOCAL)


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
        (URL, {"default_branch": "b" * 300}, "default_branch has at most"),
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


def test_a_new_secret_is_registered_and_the_old_one_taken_for_a_while(stage: Stage) -> None:
    old = stage.follow(token=TOKEN).repository

    rotated = rotate.rotate(old.id, stage.parts, secret="", keep_s=3600).repository

    assert rotated.secret != old.secret
    assert stage.forge.targets[-1].secret == rotated.secret
    assert rotated.secrets(NOW) == (rotated.secret, old.secret)
    assert rotated.secrets(NOW + datetime.timedelta(hours=1)) == (rotated.secret,)
    assert stage.changes == ["changed", "changed"]
    with pytest.raises(BadInputError, match="secret has 16"):
        rotate.rotate(old.id, stage.parts, secret="short", keep_s=0)


def test_an_apps_secret_is_rotated_for_all_of_its_repositories(stage: Stage) -> None:
    app = Connection(
        id=ConnectionId("app"),
        forge=Forge.GITHUB,
        host="github.com",
        kind=ConnectionKind.APP,
        webhook_secret="the old one",
        created_at=NOW,
    )
    stage.parts.connections.add(app)
    with pytest.raises(BadInputError, match="through which a repository is followed"):
        rotate.rotate_app(app.id, stage.parts, keep_s=60)
    stage.forges.seen = app.id
    repository = stage.follow().repository

    rotate.rotate_app(app.id, stage.parts, keep_s=60)

    kept = stage.parts.connections.get(app.id)
    assert (kept.old_webhook_secret, kept.old_webhook_secret_until) == ("the old one", NOW.timestamp() + 60)
    assert kept.webhook_secret not in ("", "the old one")
    with pytest.raises(BadInputError, match="rotate that of the App"):
        rotate.rotate(repository.id, stage.parts, secret="", keep_s=0)


def test_letting_go_removes_webhook_token_and_open_builds(stage: Stage) -> None:
    repository = stage.follow(token=TOKEN).repository
    build = stage.world.push("one", repository=repository)

    assert follow.unfollow(repository.id, stage.parts, force=False) == ""

    assert stage.forge.hook.state is HookState.MISSING
    assert stage.changes == ["changed", "changed"]
    assert stage.parts.connections.all() == []
    assert stage.world.builds.build(build).status.value == "cancelled"
    assert stage.world.builds.build(build).kind is EventKind.PUSH
    with pytest.raises(NotFoundError):
        stage.parts.repositories.get(repository.id)


def test_letting_go_while_the_forge_is_away_needs_force(stage: Stage) -> None:
    repository = stage.follow(token=TOKEN).repository
    stage.forge.hook_error = ForgeError("no answer")

    with pytest.raises(ForgeError):
        follow.unfollow(repository.id, stage.parts, force=False)
    left = follow.unfollow(repository.id, stage.parts, force=True)

    assert left == "the webhook is still at the forge: no answer"


def test_a_repository_with_devices_is_kept(stage: Stage) -> None:
    repository = stage.follow(token=TOKEN).repository
    device = Device(
        id=DeviceId("roof"),
        repository=repository.id,
        board="unix",
        channel="beta",
        token_digest="0" * 64,
        created_at=NOW,
    )
    stage.world.fleet.add_device(device)

    with pytest.raises(ConflictError, match="roof"):
        follow.unfollow(repository.id, stage.parts, force=True)


def test_a_shared_token_stays_and_cannot_be_removed_while_it_is_used(stage: Stage) -> None:
    shared = connect.add_token(connect.Wanted(url="https://github.com", token=TOKEN, name="team"), connect_parts(stage))
    stage.forges.seen = shared.id
    first = stage.follow().repository
    record = dataclasses.replace(first, id=RepositoryId("github/acme/lamp"), path="acme/lamp")
    stage.parts.repositories.add(record)

    with pytest.raises(ConflictError, match="github/acme/blink, github/acme/lamp"):
        stage.parts.connections.remove(shared.id)
    follow.unfollow(first.id, stage.parts, force=False)

    assert [each.id for each in stage.parts.connections.all()] == [shared.id] == ["github-team"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "git.lan"}, "address of a forge"),
        ({"url": "https://ada@git.lan"}, "address of a forge"),
        ({"url": "https://git.lan:x"}, "not an address"),
        ({"url": "http://gitlab.com"}, "is reached by https://"),
        ({"url": "https://git.lan"}, r"say what git\.lan is"),
        ({"url": "https://git.lan", "forge": "svn"}, r"say what git\.lan is"),
        ({"url": "https://gitlab.com", "token": ""}, "a token is"),
        ({"url": "https://gitlab.com", "name": "n" * 61}, "name has at most"),
    ],
)
def test_a_connection_that_cannot_be_is_named(stage: Stage, fields: dict[str, str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        connect.add_token(connect.Wanted(**{"token": TOKEN, **fields}), connect_parts(stage))

    assert stage.parts.connections.all() == []


def test_what_is_sealed_opens_for_nobody_else(stage: Stage) -> None:
    stage.follow(token=TOKEN)
    engine = stage.world.repositories._engine
    stranger = DatabaseConnections(engine, Sealer(b"x" * 32))

    (shown,) = stranger.all()
    assert shown.token == ""
    assert "cannot be opened" in shown.note
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("select * from connections").all()
    assert TOKEN not in str(rows)


def connect_parts(stage: Stage) -> connect.Parts:
    return connect.Parts(connections=stage.parts.connections, clock=stage.world.clock)
