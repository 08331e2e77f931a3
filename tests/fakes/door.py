"""The webhook door between twins: an inbox in memory, a list of repositories, and the recorded deliveries."""

import base64
import datetime
import hashlib
import hmac
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from service.adapters.forges import github, gitlab
from service.domain.event import BUILT, Event, EventKind, is_commit, is_ref, is_request_ref
from service.domain.repository import HOSTS, Forge, Repository, RepositoryId, parse_home, repository_id
from service.ports import Accepted
from service.web.errors import LastResort, exception_handlers
from service.web.webhooks import App, WebhookDoor
from tests.fakes.asgi import Reply, ask, run
from tests.fakes.clock import StoppedClock

SAMPLES = pathlib.Path(__file__).parent.parent / "samples"
SECRET = "correct horse battery staple"
HELLO = "/hooks/github/Codertocat/Hello-World"  # the repository that GitHub's samples speak of
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"

DECODERS = {Forge.GITHUB: github, Forge.GITLAB: gitlab, Forge.LOCAL: github}


def sample(name: str) -> bytes:
    """A recorded delivery: `github/ping`."""
    return (SAMPLES / f"{name}.json").read_bytes()


def sign(body: bytes, secret: str = SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def github_headers(body: bytes, event: str = "push", *, secret: str = SECRET, delivery: str = GUID) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": sign(body, secret),
    }


def gitlab_headers(event: str = "Push Hook", *, secret: str = SECRET, delivery: str = GUID) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Gitlab-Event": event,
        "X-Gitlab-Token": secret,
        "Idempotency-Key": delivery,
    }


def signed_by_token(
    body: bytes, token: str, *, identity: str = GUID, at: datetime.datetime = NOW, event: str = "Push Hook"
) -> dict[str, str]:
    """The headers of a GitLab delivery under a signing token, whose key is base64 after the prefix."""
    key, timestamp = base64.b64decode(token.removeprefix("whsec_")), str(int(at.timestamp()))
    content = f"{identity}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "X-Gitlab-Event": event,
        "Idempotency-Key": identity,
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


class MemoryInbox:
    """The twin of service.web.inbox.Inbox: what is built gets a number, everything else a word."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.owners: list[RepositoryId] = []
        self._builds: dict[tuple[RepositoryId, str], str] = {}
        self._count = 0

    async def accept(self, repository: Repository, event: Event) -> Accepted:
        key = (repository.id, event.delivery)
        is_new = key not in self._builds
        if is_new:
            self._count += event.kind in BUILT
            self._builds[key] = str(self._count) if event.kind in BUILT else ""
            self.events.append(event)
            self.owners.append(repository.id)
        build = self._builds[key]
        url = f"https://kiln.example/builds/{build}" if build else ""
        return Accepted(build_id=build, build_url=url, is_new=is_new, said="" if build else f"done: {event.kind.value}")


def sound(event: Event) -> bool:
    """What leaves a decoder can be kept, shown and given to git."""
    texts = (event.delivery, event.path, event.ref, event.title, event.author, event.why)
    has_ref = is_ref(event.ref) or is_request_ref(event.ref)
    needed = {
        EventKind.DELETED: has_ref and not event.commit,
        EventKind.CLOSED: has_ref and not event.commit,
        EventKind.RERUN: is_commit(event.commit) and not event.ref,
    }
    plain = has_ref and is_commit(event.commit) if event.kind in BUILT else event.ref + event.commit == ""
    fits = needed.get(event.kind, plain) and (event.before == "" or is_commit(event.before))
    return fits and bool(event.delivery) and all(text.isprintable() for text in texts)


def repository(forge: Forge, path: str, *, secret: str = SECRET, host: str = "", **fields: Any) -> Repository:
    return Repository(
        **{
            "id": repository_id(forge, path, host),
            "forge": forge,
            "host": host or HOSTS[forge],
            "path": path,
            "url": f"https://forge.example/{path}.git",
            "secret": secret,
            **fields,
        }
    )


class MemoryKnown:
    """The twin of service.web.known.Recent."""

    def __init__(self, repositories: Sequence[Repository]) -> None:
        self.repositories = list(repositories)
        self.apps: dict[str, str] = {}  # connection -> the secret of its webhook
        self.looked_up: list[str] = []

    async def repository(self, home: str, path: str) -> Repository | None:
        self.looked_up.append(path)
        by_id = next((each for each in self.repositories if each.id == f"{home}/{path}"), None)
        at = parse_home(home)
        here = (each for each in self.repositories if (each.forge, each.host) == at)
        return by_id or next((each for each in here if each.path.lower() == path.lower()), None)

    async def app(self, connection: str) -> App | None:
        if connection not in self.apps:
            return None
        mine = [each for each in self.repositories if each.connection == connection]
        return App(
            connection=connection,
            host="github.com",
            secret=self.apps[connection],
            by_forge_id={each.forge_id: each for each in mine if each.forge_id},
            by_path={each.path.lower(): each for each in mine},
        )

    async def through(self, app: App, path: str) -> Repository | None:
        return app.by_path.get(path.lower())

    async def keep_forge_id(self, repository: Repository, forge_id: str) -> None:
        place = self.repositories.index(repository)
        self.repositories[place] = replace(repository, forge_id=forge_id)

    async def is_at(self, repository: Repository, path: str) -> bool:
        return True


class World:
    """An application of nothing but the door."""

    def __init__(self, *, read_timeout_s: float = 5.0) -> None:
        self.inbox = MemoryInbox()
        self.clock = StoppedClock(NOW)
        self.known = MemoryKnown(
            [
                repository(Forge.GITHUB, "Codertocat/Hello-World"),
                repository(Forge.GITHUB, "Octocoders/Hello-World"),
                repository(Forge.LOCAL, "Codertocat/Hello-World"),
                repository(Forge.GITHUB, "acme/careless", secret=""),
                repository(Forge.GITLAB, "mike/diaspora"),
                repository(Forge.GITLAB, "jsmith/example"),
            ]
        )
        door = WebhookDoor(
            decoders=DECODERS,
            known=self.known,
            accept=self.inbox.accept,
            clock=self.clock,
            read_timeout_s=read_timeout_s,
        )
        self.app = Starlette(
            routes=door.routes(), middleware=[Middleware(LastResort)], exception_handlers=exception_handlers()
        )

    @property
    def repositories(self) -> list[Repository]:
        return self.known.repositories

    @property
    def looked_up(self) -> list[str]:
        return self.known.looked_up


def post(
    world: World, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes | Iterable[bytes]
) -> Reply:
    return run(ask(world.app, "POST", target, headers=headers, body=body))


def refusal(world: World, reply: Reply) -> tuple[int, str]:
    """Status and sentence, when nothing but a sentence came of it."""
    assert world.inbox.events == []
    assert list(reply.fields) == ["error"]
    return reply.status, reply.fields["error"]


def signed(body: bytes) -> dict[str, str]:
    return github_headers(body)
