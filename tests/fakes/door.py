"""The webhook door between twins: an inbox in memory, a list of repositories, and the recorded deliveries."""

import asyncio
import hashlib
import hmac
import pathlib
from collections.abc import Iterable, Mapping

from starlette.applications import Starlette
from starlette.middleware import Middleware

from service.adapters.forges import github, gitlab
from service.domain.event import Event
from service.domain.repository import Forge, Repository, RepositoryId, repository_id
from service.ports import Accepted
from service.web.errors import LastResort, exception_handlers
from service.web.webhooks import WebhookDoor
from tests.fakes.asgi import Reply, ask

SAMPLES = pathlib.Path(__file__).parent.parent / "samples"
SECRET = "correct horse battery staple"
HELLO = "/hooks/github/Codertocat/Hello-World"  # the repository that GitHub's samples speak of
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


class MemoryInbox:
    """The twin of service.web.inbox.Inbox."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._builds: dict[tuple[RepositoryId, str], str] = {}

    async def accept(self, repository: Repository, event: Event) -> Accepted:
        key = (repository.id, event.delivery)
        is_new = key not in self._builds
        build = self._builds.setdefault(key, str(len(self._builds) + 1))
        if is_new:
            self.events.append(event)
        return Accepted(build_id=build, build_url=f"https://kiln.example/builds/{build}", is_new=is_new)


def repository(forge: Forge, path: str, *, secret: str = SECRET) -> Repository:
    return Repository(
        id=repository_id(forge, path), forge=forge, path=path, url=f"https://forge.example/{path}.git", secret=secret
    )


class World:
    """An application of nothing but the door."""

    def __init__(self, *, read_timeout_s: float = 5.0) -> None:
        self.inbox = MemoryInbox()
        self.repositories = [
            repository(Forge.GITHUB, "Codertocat/Hello-World"),
            repository(Forge.GITHUB, "Octocoders/Hello-World"),
            repository(Forge.LOCAL, "Codertocat/Hello-World"),
            repository(Forge.GITHUB, "acme/careless", secret=""),
            repository(Forge.GITLAB, "mike/diaspora"),
            repository(Forge.GITLAB, "jsmith/example"),
        ]
        self.looked_up: list[str] = []
        door = WebhookDoor(decoders=DECODERS, find=self._find, accept=self.inbox.accept, read_timeout_s=read_timeout_s)
        self.app = Starlette(
            routes=door.routes(), middleware=[Middleware(LastResort)], exception_handlers=exception_handlers()
        )

    async def _find(self, forge: Forge, path: str) -> Repository | None:
        self.looked_up.append(path)
        return next((each for each in self.repositories if each.forge is forge and each.path == path), None)


def post(
    world: World, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes | Iterable[bytes]
) -> Reply:
    return asyncio.run(ask(world.app, "POST", target, headers=headers, body=body))


def refusal(world: World, reply: Reply) -> tuple[int, str]:
    """Status and sentence, when nothing but a sentence came of it."""
    assert world.inbox.events == []
    assert list(reply.fields) == ["error"]
    return reply.status, reply.fields["error"]


def signed(body: bytes) -> dict[str, str]:
    return github_headers(body)
