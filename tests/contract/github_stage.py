"""A simulated GitHub with one repository, and our API through a token or an App."""

import contextlib
import datetime
import pathlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from service.adapters.clock import SystemClock
from service.adapters.forges.github_api import GitHubApi
from service.domain.build import BuildId
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.mark import Mark, MarkState
from service.domain.repository import Forge, Repository, repository_id
from service.ports import Clock
from tests.servers import free_port, serving
from tests.simulators.git import git
from tests.simulators.github import GitHubSimulator
from tests.simulators.github_world import SimApp

PATH = "acme/blink"
NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC)


def token_connection(host: str, token: str, *, scheme: str = "http") -> Connection:
    return Connection(
        id=ConnectionId("mine"),
        forge=Forge.GITHUB,
        host=host,
        scheme=scheme,
        kind=ConnectionKind.TOKEN,
        token=token,
        created_at=NOW,
    )


def app_connection(host: str, app: SimApp) -> Connection:
    return Connection(
        id=ConnectionId("app"),
        forge=Forge.GITHUB,
        host=host,
        scheme="http",
        kind=ConnectionKind.APP,
        app_id=str(app.id),
        slug=app.slug,
        client_id=app.client_id,
        private_key=app.pem,
        webhook_secret=app.webhook_secret,
        client_secret=app.client_secret,
        created_at=NOW,
    )


def record(connection: Connection, *, path: str = PATH, forge_id: str = "") -> Repository:
    return Repository(
        id=repository_id(Forge.GITHUB, path, connection.host),
        forge=Forge.GITHUB,
        host=connection.host,
        path=path,
        url=f"{connection.web_url}/{path}.git",
        secret="the secret of the webhook",
        connection=connection.id,
        forge_id=forge_id,
    )


def mark(commit: str, state: MarkState = MarkState.RUNNING, *, board: str = "", **fields: object) -> Mark:
    given: dict[str, object] = {
        "repository": repository_id(Forge.GITHUB, PATH),
        "build": BuildId(17),
        "board": board,
        "commit": commit,
        "ref": "refs/heads/main",
        "context": f"kiln/{board}" if board else "kiln",
        "state": state,
        "description": "build 3: 1 of 2 boards done",
        "target_url": "http://kiln.lan/builds/17",
        "started_at": NOW,
    }
    return Mark(**{**given, **fields})  # type: ignore[arg-type]  # each of its field's type


@dataclass(slots=True)
class Stage:
    github: GitHubSimulator
    folder: pathlib.Path
    clock: Clock = field(default_factory=SystemClock)

    def work_tree(self, path: str = PATH, name: str = "work") -> pathlib.Path:
        """A clone of the repository, with one commit pushed to main if it was empty."""
        at = self.folder / name
        git(self.folder, "clone", "--quiet", self.github.push_url(path), str(at))
        if not git(at, "ls-remote", "--heads", "origin"):
            self.commit(at, {"main.py": "print(1)\n"})
            git(at, "push", "--quiet", "origin", "HEAD:main")
        return at

    @staticmethod
    def commit(at: pathlib.Path, files: dict[str, str], message: str = "Change it") -> str:
        for name, text in files.items():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_text(text)
        git(at, "add", "--all")
        git(at, "commit", "--quiet", "--allow-empty", "-m", message)
        return git(at, "rev-parse", "HEAD")

    def by_token(self, permissions: dict[str, str] | None = None, *, path: str = PATH, **fields: str) -> GitHubApi:
        token = self.github.token(permissions=permissions)
        connection = token_connection(self.github.host, token)
        return GitHubApi(connection, record(connection, path=path, **fields), self.clock)

    def by_app(self, app: SimApp, *, path: str = PATH, **fields: str) -> GitHubApi:
        connection = app_connection(self.github.host, app)
        return GitHubApi(connection, record(connection, path=path, **fields), self.clock)


class Receiver:
    """Where webhooks lead: keeps what comes, answers what a test wants, and can be away."""

    def __init__(self, status: int = 202) -> None:
        self.status = status
        self.received: list[tuple[dict[str, str], bytes]] = []
        self._port = free_port()
        self._open = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hooks/github/{PATH}"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Quiet."""

        self._open.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", self._port), Handler)))

    def stop(self) -> None:
        self._open.close()

    def events(self) -> list[str]:
        return [headers["x-github-event"] for headers, _ in self.received]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
