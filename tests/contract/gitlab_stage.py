"""A simulated GitLab with one project, Kiln's API for it, and a receiver of its deliveries."""

import contextlib
import dataclasses
import datetime
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.adapters.clock import SystemClock
from service.adapters.forges.gitlab_api import GitLabApi
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.repository import Check, Forge, Repository, RepositoryId
from service.forge import HookTarget
from service.ports import Clock
from tests.servers import free_port, http_server
from tests.simulators.git import git
from tests.simulators.gitlab import GitLabSimulator
from tests.simulators.gitlab_records import Project

PATH = "acme/fw/blink"
SECRET = "a webhook secret of tests"
SIGNING = "whsec_" + "A" * 43 + "="
FIRMWARE = pathlib.Path(__file__).parents[1] / "samples" / "firmware"
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@dataclass(slots=True)
class Receiver:
    """Takes deliveries as Kiln's door would, with a status that a test sets."""

    port: int = field(default_factory=free_port)
    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/gitlab"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.taken.append((dict(request.headers), await request.body()))
        await Response("", self.status)(scope, receive, send)


@dataclass(slots=True)
class GitLabStage:
    gitlab: GitLabSimulator
    project: Project
    receiver: Receiver
    work: pathlib.Path
    clock: Clock
    token: str = ""  # Kiln's, once it was needed

    def target(self, secret: str = SECRET) -> HookTarget:
        return HookTarget(url=self.receiver.url, secret=secret)

    def api(self, token: str | None = None, **repository: Any) -> GitLabApi:
        """Always of one account, unless a token is given: GitLab keeps the statuses of each apart."""
        if token is None:
            token = self.token = self.token or self.gitlab.token(projects=[PATH])
        return GitLabApi(connection_to(self.gitlab, token), followed(**repository), self.clock)

    def fail(self, times: int, status: int = 500) -> None:
        """Deliveries that Kiln's door did not take."""
        self.receiver.status = status
        for _ in range(times):
            self.gitlab.request(PATH, "main")
        self.gitlab.settle()
        self.receiver.status = 200

    def clone(self) -> pathlib.Path:
        """A working copy that pushes with a token of its own."""
        token = self.gitlab.token(scopes=("write_repository",), role="developer")
        address = self.gitlab.url.replace("://", f"://oauth2:{token}@") + f"/{PATH}.git"
        git(self.work.parent, "clone", "--quiet", address, self.work)
        return self.work


def connection_to(gitlab: GitLabSimulator, token: str) -> Connection:
    return Connection(
        id=ConnectionId("c1"),
        forge=Forge.GITLAB,
        host=gitlab.host,
        scheme="http",
        kind=ConnectionKind.TOKEN,
        token=token,
        created_at=WHEN,
    )


def followed(**changes: Any) -> Repository:
    plain = Repository(
        id=RepositoryId(f"gitlab:git.lan/{PATH}"),
        forge=Forge.GITLAB,
        host="git.lan",
        path=PATH,
        url=f"https://git.lan/{PATH}.git",
        secret=SECRET,
        check=Check.TOKEN,
        connection="c1",
    )
    return dataclasses.replace(plain, **changes)


@contextlib.contextmanager
def gitlab_stage(folder: pathlib.Path, clock: Clock | None = None) -> Iterator[GitLabStage]:
    clock = clock or SystemClock()
    receiver = Receiver()
    with http_server(receiver, receiver.port), GitLabSimulator(folder / "gitlab", clock=clock) as gitlab:
        project = gitlab.add_project(PATH, private=True, files=FIRMWARE)
        yield GitLabStage(gitlab, project, receiver, folder / "work", clock)
