"""What the simulated GitHub knows: repositories, webhooks, Apps, tokens."""

import datetime
import itertools
import pathlib
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from service.ports import Clock

HOOK_CONFIG = ("url", "content_type", "insecure_ssl", "secret")


@dataclass(slots=True, kw_only=True, eq=False)
class Delivery:
    """One attempt to deliver."""

    id: int
    guid: str
    event: str
    action: str | None
    payload: dict[str, Any]
    repository: int | None
    at: datetime.datetime
    redelivery: bool = False
    status: str = ""
    code: int = 0

    @property
    def is_ok(self) -> bool:
        return 200 <= self.code < 400


@dataclass(slots=True, kw_only=True, eq=False)
class Hook:
    """Of a repository, or of an App."""

    id: int
    target: str  # what X-GitHub-Hook-Installation-Target-Type says: repository or integration
    target_id: int
    config: dict[str, str]
    events: list[str]
    active: bool = True
    created: datetime.datetime
    deliveries: list[Delivery] = field(default_factory=list)

    def wants(self, event: str) -> bool:
        always = event in ("ping", "installation", "installation_repositories")
        return self.active and bool(self.config.get("url")) and (always or event in self.events or "*" in self.events)


@dataclass(slots=True, kw_only=True, eq=False)
class SimRepository:
    id: int
    path: str
    bare: pathlib.Path
    clone_url: str
    private: bool
    created: datetime.datetime
    pushed: datetime.datetime
    default_branch: str = "main"
    parent: "SimRepository | None" = None  # of a fork
    is_gone: bool = False
    changes: int = 0
    hooks: dict[int, Hook] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    check_runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: dict[int, dict[str, Any]] = field(default_factory=dict)  # open ones: head repository and ref, commit

    @property
    def forge_id(self) -> str:
        return str(self.id)

    @property
    def name(self) -> str:
        return self.path.split("/")[1]

    @property
    def owner(self) -> str:
        return self.path.split("/")[0]


@dataclass(slots=True, kw_only=True, eq=False)
class SimApp:
    id: int
    slug: str
    name: str
    client_id: str
    client_secret: str = field(repr=False)
    pem: str = field(repr=False)
    public_key: Any
    webhook_secret: str = field(repr=False)
    hook: Hook
    permissions: dict[str, str]
    installation: int
    repositories: set[int] = field(default_factory=set)  # that it is installed on
    suspended: bool = False


@dataclass(slots=True, kw_only=True)
class Token:
    text: str = field(repr=False)
    owner: str  # for people
    repositories: set[int] | None  # None: all
    permissions: dict[str, str] | None  # None: all
    expires_at: datetime.datetime | None = None
    app: SimApp | None = None
    revoked: bool = False
    used: int = 0

    def may(self, right: str, level: str) -> bool:
        if self.permissions is None or (right == "metadata" and level == "read"):
            return True
        have = self.permissions.get(right)
        return have in (level, "write")


class World:
    """All of it, behind one lock."""

    def __init__(self, folder: pathlib.Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.url = ""  # of the web pages and of git, once the server listens
        self.lock = threading.RLock()
        self.repositories: dict[int, SimRepository] = {}
        self.moved: dict[str, int] = {}  # former paths
        self.apps: dict[int, SimApp] = {}
        self.tokens: dict[str, Token] = {}
        self.manifests: dict[str, dict[str, Any]] = {}  # by code
        self._ids = itertools.count(1001)

    def new_id(self) -> int:
        return next(self._ids)

    @property
    def api(self) -> str:
        return f"{self.url}/api/v3"

    def now(self) -> datetime.datetime:
        return self.clock.now().replace(microsecond=0)

    def find(self, path: str) -> SimRepository | None:
        """By the path that it has now."""
        alive = (each for each in self.repositories.values() if not each.is_gone)
        return next((each for each in alive if each.path.lower() == path.lower()), None)

    def get(self, path: str) -> SimRepository:
        found = self.find(path)
        assert found is not None, f"the simulated GitHub has no {path}"
        return found

    def new_token(self, **fields: Any) -> Token:
        """Long, and of no form that anybody may rely on."""
        kind = "ghs_" if fields.get("app") else "github_pat_"
        token = Token(text=kind + secrets.token_urlsafe(600 if fields.get("app") else 60), **fields)
        self.tokens[token.text] = token
        return token

    def token(self, text: str) -> Token | None:
        """One that is good now."""
        found = self.tokens.get(text)
        if found is None or found.revoked or (found.expires_at is not None and self.clock.now() >= found.expires_at):
            return None
        if found.app is not None and found.app.suspended:
            return None
        return found

    def apps_of(self, repository: SimRepository) -> list[SimApp]:
        return [each for each in self.apps.values() if repository.id in each.repositories and not each.suspended]


def stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
