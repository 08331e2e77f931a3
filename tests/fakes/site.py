"""The whole site over a data folder of its own, in memory, and browsers that visit it."""

import dataclasses
import http.cookies
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware

from runners.contract.job import Outcome, Result
from service.adapters.builds import DatabaseBuilds
from service.domain.build import Build, BuildJob, Delivery, JobId, Status
from service.domain.event import Event, EventKind
from service.domain.person import Identity
from service.domain.repository import Forge, Repository, RepositoryId, repository_id
from service.domain.rights import Role, UserId
from service.kiln import Kiln, build
from service.settings import Settings
from service.site import routes
from service.web.errors import LastResort, exception_handlers
from tests.fakes import prepared
from tests.fakes.asgi import Reply, ask, run
from tests.fakes.sources import FolderSources

BASE = "http://kiln.example"
ADMIN_TOKEN = "the administrator's token in tests"
FORM = "application/x-www-form-urlencoded"


def application(kiln: Kiln) -> Starlette:
    return Starlette(
        routes=routes(kiln, lambda: None), middleware=[Middleware(LastResort)], exception_handlers=exception_handlers()
    )


@dataclass
class Site:
    kiln: Kiln
    app: Starlette

    @classmethod
    def make(cls, folder: pathlib.Path, **settings: Any) -> "Site":
        given = {"data": folder, "base_url": BASE, "admin_token": ADMIN_TOKEN, **settings}
        prepared.data(folder)
        kiln = build(Settings(**given), durable=False)
        prepared.quick(kiln.engine)
        # The durable engine is not launched here: builds are recorded, and nobody works on them.
        kiln.builds.close()
        sources = FolderSources({})
        sources.refs = {"refs/heads/x": "1" * 40}
        kiln = dataclasses.replace(
            kiln,
            builds=DatabaseBuilds(kiln.engine, start=lambda _connection, _starts: None),
            sources=sources,  # type: ignore[arg-type]  # another adapter of the same port
        )
        return cls(kiln, application(kiln))

    def close(self) -> None:
        self.kiln.broker.accounts.close()
        self.kiln.builds.close()
        self.kiln.engine.dispose()

    def browser(self) -> "Browser":
        return Browser(self)

    def program(self, token: str) -> "Browser":
        """Who sends a token, and no cookies."""
        return Browser(self, origin=None, headers={"Authorization": f"Bearer {token}"})

    def of(self, name: str) -> Repository:
        return self.kiln.repositories.get(RepositoryId(f"github/acme/{name}"))

    def follow(self, path: str, *, public: bool = False, forge: Forge = Forge.GITHUB, host: str = "") -> Repository:
        name = repository_id(forge, path, host)
        url = f"https://forge.example/{path}.git"  # nobody goes there
        made = Repository(
            id=name, forge=forge, host=host or "github.com", path=path, url=url, secret="s" * 20, public=public
        )
        self.kiln.repositories.add(made)
        return made

    def build(self, repository: Repository, delivery: str = "one", ref: str = "refs/heads/main") -> Build:
        """A build of that ref, with one job."""
        kind = EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH
        event = Event(kind=kind, delivery=delivery, path=repository.path, ref=ref, commit=f"{abs(hash(delivery)):040x}")
        now = self.kiln.clock.now()
        taken = self.kiln.builds.accept([Delivery(repository=repository.id, event=event)], now=now)[0]
        assert taken.build is not None
        job = BuildJob(id=JobId(f"job-{taken.build}"), build=taken.build, board="unix", family="micropython")
        self.kiln.builds.add_jobs(taken.build, [job])
        return self.kiln.builds.build(taken.build)

    def end(self, build: Build, status: Status = Status.SUCCEEDED) -> None:
        """The build and its job."""
        outcome = Outcome.SUCCEEDED if status is Status.SUCCEEDED else Outcome.FAILED
        for job in self.kiln.builds.jobs(build.id):
            self.kiln.builds.end_job(job.id, Result(job=job.id, outcome=outcome))
        self.kiln.builds.end_build(build.id, status, "", now=self.kiln.clock.now())

    def user(self, number: int = 1, login: str = "ann", **grants: Role) -> UserId:
        """Somebody who signed in; grants by the repository's name after `github/acme/`."""
        identity = Identity(forge=Forge.GITHUB, host="github.com", forge_id=str(number), login=login)
        account = self.kiln.people.signed_in(identity, now=self.kiln.clock.now())
        for name, role in grants.items():
            self.kiln.people.grant(account.id, RepositoryId(f"github/acme/{name}"), role)
        return account.id

    def token(self, browser: "Browser", scopes: str, **fields: Any) -> str:
        """An API token of who is signed in there."""
        made = browser.send("POST", "/api/v1/tokens", json={"name": "test", "scopes": scopes, **fields})
        assert made.status == 201, made.body
        return str(made.fields["token"])


@dataclass
class Browser:
    """Keeps cookies, as one does, and names the origin of its page."""

    site: Site
    cookies: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)  # the last Set-Cookie of each name, whole
    origin: str | None = BASE
    host: str = "kiln.example"
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, target: str, **headers: str) -> Reply:
        return self.send("GET", target, headers=headers)

    def post(self, target: str, **fields: str) -> Reply:
        return self.send("POST", target, body=urlencode(fields).encode(), headers={"Content-Type": FORM})

    def send(
        self,
        method: str,
        target: str,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        pairs = [("Host", self.host), *self.headers.items(), *(headers or {}).items()]
        if self.cookies:
            pairs.append(("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        if method not in ("GET", "HEAD") and self.origin is not None:
            pairs.append(("Origin", self.origin))
        content = body if json is None else _json(json)
        reply = run(ask(self.site.app, method, target, headers=pairs, body=content))
        for line in reply.cookies:
            self._keep(line)
        return reply

    def _keep(self, line: str) -> None:
        for name, morsel in http.cookies.SimpleCookie(line).items():
            self.attributes[name] = line
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value

    def sign_in_as_admin(self) -> "Browser":
        assert self.post("/login", token=ADMIN_TOKEN).status == 303
        return self

    def sign_in_as(self, user: UserId) -> "Browser":
        """As a finished sign-in with the forge leaves it; that itself has tests of its own."""
        kiln, name = self.site.kiln, f"session-of-{user}"
        now = kiln.clock.now()
        kiln.people.end_session(name)
        kiln.people.begin_session(name, user, now=now, until=now.replace(year=now.year + 1))
        self.cookies["kiln_session"] = kiln.tokens.issue("session", name, expires_s=3600)
        return self


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def start(browser: Browser, name: str) -> int:
    """Ask for a build; the status: 202 when it was allowed."""
    body = {"repository": f"github/acme/{name}", "ref": "refs/heads/x"}
    return browser.send("POST", "/api/v1/builds", json=body).status


def enrol(browser: Browser, name: str) -> int:
    """Enrol a device; the status. An allowed one fails at the board (400)."""
    body = {"id": "new", "repository": f"github/acme/{name}", "board": "none"}
    return browser.send("POST", "/api/v1/devices", json=body).status


def grant(browser: Browser, name: str, user: str = "github/2", role: str = "viewer") -> int:
    body = {"user": user, "repository": f"github/acme/{name}", "role": role}
    return browser.send("POST", "/api/v1/grants", json=body).status
