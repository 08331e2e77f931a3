"""Who gets the credential of a repository, when, and how it is taken back."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette

from runners.contract.job import Outcome
from runners.contract.source import Fetch, Fetched
from service.adapters.access import MAX_GRANTS, AccessDesk, leave_of
from service.adapters.tokens import JwtTokens
from service.domain.build import BuildId, Status
from service.domain.errors import (
    BadInputError,
    BadSignatureError,
    ConflictError,
    ForgeError,
    ForgeRefusedError,
    NotFoundError,
    SourceError,
)
from service.domain.repository import Repository
from service.flows import source
from service.forge import Access
from service.web.errors import exception_handlers
from service.web.fetches import ACCESS_PURPOSE, Fetches
from tests.fakes import asgi
from tests.unit.service.conftest import BLINK, NOW, World

URL = "https://git.example.org/acme/blink.git"


@dataclass
class Giving:
    """A forge that hands out a new token each time, and notes what comes back."""

    open: list[str] = field(default_factory=list)
    given: int = 0
    error: Exception | None = None
    closing_error: Exception | None = None

    @contextlib.contextmanager
    def __call__(self, _repository: Repository) -> Iterator[Access | None]:
        if self.error:
            raise self.error
        self.given += 1
        token = f"ghs_{self.given}"
        self.open.append(token)
        yield Access(username="x-access-token", password=token)
        self.open.remove(token)
        if self.closing_error:
            raise self.closing_error


@dataclass
class Scene:
    world: World
    giving: Giving
    desk: AccessDesk
    build: BuildId

    @property
    def fetch(self) -> str:
        return source.fetch_id("kabc123", self.build)


@pytest.fixture
def scene(world: World) -> Scene:
    world.repositories.change(BLINK.id, url=URL)
    giving = Giving()
    desk = AccessDesk(repositories=world.repositories, builds=world.builds, leave=giving)
    return Scene(world, giving, desk, world.push("one"))


def password(access: Access | None) -> str:
    assert access is not None
    return access.password


def test_a_runner_that_asks_again_gets_a_new_credential_and_the_old_one_is_taken_back(scene: Scene) -> None:
    assert password(scene.desk.grant(scene.fetch)) == "ghs_1"
    assert password(scene.desk.grant(scene.fetch)) == "ghs_2"

    assert scene.giving.open == ["ghs_2"]


def test_the_end_of_a_fetch_takes_everything_back_and_gives_nothing_more(scene: Scene) -> None:
    scene.desk.grant(scene.fetch)
    for _ in range(2):
        scene.desk.end(scene.fetch)

    with pytest.raises(ConflictError, match="over"):
        scene.desk.grant(scene.fetch)
    assert scene.giving.open == []


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.FAILED])
def test_a_build_that_ended_gets_no_credential(scene: Scene, status: Status) -> None:
    scene.world.builds.end_build(scene.build, status, "", now=NOW)

    with pytest.raises(ConflictError, match="over"):
        scene.desk.grant(scene.fetch)
    assert scene.giving.given == 0


def test_a_build_that_has_its_source_gets_no_credential(scene: Scene) -> None:
    scene.world.builds.keep_source(scene.build, digest="0" * 64, size_bytes=1)

    with pytest.raises(ConflictError, match="over"):
        scene.desk.grant(scene.fetch)


def test_nobody_asks_for_ever(scene: Scene) -> None:
    for _ in range(MAX_GRANTS):
        scene.desk.grant(scene.fetch)

    with pytest.raises(ConflictError, match=f"{MAX_GRANTS} times"):
        scene.desk.grant(scene.fetch)
    assert scene.giving.open == [f"ghs_{MAX_GRANTS}"]


def test_a_service_that_stops_takes_everything_back(scene: Scene) -> None:
    other = source.fetch_id("kabc123", scene.world.push("two", "refs/heads/other"))
    scene.desk.grant(scene.fetch)
    scene.desk.grant(other)

    scene.desk.close()

    assert scene.giving.open == []


def test_a_credential_that_cannot_be_taken_back_is_left_to_expire(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.giving.closing_error = ForgeError("the forge is away")
    scene.desk.grant(scene.fetch)

    scene.desk.end(scene.fetch)

    assert [each.message for each in caplog.records] == ["credential not taken back"]
    assert "ghs_" not in caplog.text


@pytest.mark.parametrize("fetch", ["", "source", "source-k-x", "source-k-99999", "source-k-٣", "-" + "9" * 40])
def test_a_fetch_that_is_none_gets_nothing(scene: Scene, fetch: str) -> None:
    with pytest.raises(NotFoundError):
        scene.desk.grant(fetch)


def test_an_address_with_a_password_needs_no_forge() -> None:
    def no_forge(_: Repository) -> None:
        raise AssertionError

    record = dataclasses.replace(BLINK, url="https://oauth2:a%40b%2Fc@git.example.org/x.git")

    with leave_of(no_forge)(record) as access:
        assert (access and access.username, password(access)) == ("oauth2", "a@b/c")
    with leave_of(lambda _: None)(dataclasses.replace(BLINK, url=URL)) as access:
        assert access is None


# -- the door


def door(scene: Scene) -> tuple[Starlette, JwtTokens]:
    tokens = JwtTokens(b"k" * 32, scene.world.clock)
    routes = Fetches(tokens=tokens, desk=scene.desk).routes()
    return Starlette(routes=routes, exception_handlers=exception_handlers()), tokens


def ask(scene: Scene, *, purpose: str = ACCESS_PURPOSE, subject: str = "", method: str = "POST") -> tuple[int, bytes]:
    app, tokens = door(scene)
    token = tokens.issue(purpose, subject or scene.fetch, expires_s=60)
    target = f"/runner/v1/fetches/{scene.fetch}/access?token={token}"
    answer = asyncio.run(asgi.ask(app, method, target))
    return answer.status, answer.body


def test_a_signed_address_answers_the_credential(scene: Scene) -> None:
    assert ask(scene) == (200, b'{"username":"x-access-token","password":"ghs_1"}')


def test_what_a_forge_refuses_is_told_to_the_runner(scene: Scene) -> None:
    scene.giving.error = ForgeRefusedError("the App was removed: install it again")

    assert ask(scene) == (200, b'{"refused":"the App was removed: install it again"}')


def test_a_forge_that_is_away_is_worth_another_try(scene: Scene) -> None:
    scene.giving.error = ForgeError("no answer")

    assert ask(scene)[0] == 503


@pytest.mark.parametrize(
    ("more", "status"),
    [({"purpose": "log"}, 401), ({"subject": "source-kabc123-2"}, 401), ({"method": "GET"}, 405)],
    ids=["of another purpose", "of another fetch", "read only"],
)
def test_another_address_answers_nothing(scene: Scene, more: dict[str, str], status: int) -> None:
    found = ask(scene, **more)

    assert (found[0], b"ghs_" in found[1]) == (status, False)
    assert scene.giving.given == 0


def test_a_token_that_is_none_is_refused(scene: Scene) -> None:
    with pytest.raises(BadSignatureError):
        door(scene)[1].check(ACCESS_PURPOSE, "x")


# -- the flow


def laid_out(scene: Scene, **more: str) -> Fetch | None:
    return source.begin(
        scene.world.builds.build(scene.build),
        repositories=scene.world.repositories,
        builds=scene.world.builds,
        sources=scene.world.sources,
        objects=scene.world.objects,
        instance="kabc123",
        fetching=source.Fetching(access_url=lambda fetch: f"http://kiln/{fetch}", end=lambda _: None, **more),
    )


def test_a_repository_of_the_network_is_laid_out_for_a_runner_without_its_password(scene: Scene) -> None:
    scene.world.repositories.change(BLINK.id, url=URL.replace("://", "://oauth2:hunter2@"))

    fetch = laid_out(scene, authorities="PEM")

    assert fetch is not None
    assert (fetch.url, fetch.ref, fetch.authorities) == (URL, "refs/heads/main", "PEM")
    assert fetch.commit == scene.world.builds.build(scene.build).commit
    assert "hunter2" not in str(fetch.to_json())
    assert scene.world.sources.fetched == []


def test_a_repository_of_this_machine_is_taken_at_once(scene: Scene) -> None:
    scene.world.repositories.change(BLINK.id, url="file:///srv/git/blink.git")

    assert laid_out(scene) is None
    assert scene.world.builds.build(scene.build).source_digest


def test_what_a_runner_fetched_is_kept_when_it_is_what_it_says(scene: Scene) -> None:
    content = b"a tar"
    stored = scene.world.objects.put([content])
    with scene.world.objects.receive(source.staging_key(scene.fetch), max_bytes=100) as upload:
        upload.write(content)
        upload.keep()
    good = Fetched(fetch=scene.fetch, outcome=Outcome.SUCCEEDED, digest=stored.digest, size_bytes=len(content))

    for _ in range(2):
        source.keep(scene.build, good, builds=scene.world.builds, objects=scene.world.objects)

    assert scene.world.builds.build(scene.build).source_digest == stored.digest
    bad = dataclasses.replace(good, digest="0" * 64)
    with pytest.raises((BadInputError, NotFoundError)):
        source.keep(scene.build, bad, builds=scene.world.builds, objects=scene.world.objects)


@pytest.mark.parametrize(
    ("outcome", "is_trouble"),
    [(Outcome.REFUSED, False), (Outcome.CANCELLED, False), (Outcome.ERROR, True), (Outcome.TIMED_OUT, True)],
)
def test_a_fetch_in_vain_is_the_repositorys_doing_or_trouble(scene: Scene, outcome: Outcome, is_trouble: bool) -> None:
    result = Fetched(fetch=scene.fetch, outcome=outcome, message="why")
    ended: list[str] = []

    def keep(_build: int, fetched: dict[str, object]) -> dict[str, object]:
        parsed = Fetched.from_json(fetched)
        with pytest.raises(BadInputError, match="why"):
            source.keep(scene.build, parsed, builds=scene.world.builds, objects=scene.world.objects)
        return {"failed": "why"}

    fetch = laid_out(scene)
    assert fetch is not None
    take = source.by_runner(keep, lambda *_: result.to_json(), ended.append)

    if is_trouble:
        with pytest.raises(SourceError, match="why"):
            take(scene.build, {"value": fetch.to_json()})
    else:
        assert take(scene.build, {"value": fetch.to_json()}) == {"failed": "why"}
    assert ended == [scene.fetch]
