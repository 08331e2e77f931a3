"""A connection: how Kiln speaks to a forge's API, and what it may do there."""

import datetime
import enum
from dataclasses import dataclass, field
from typing import NewType

from service.domain.repository import Forge

ConnectionId = NewType("ConnectionId", str)

MAX_SECRET_CHARS = 16 << 10  # an App's key in PEM; a token is opaque text of any length below this


class ConnectionKind(enum.Enum):
    APP = "app"  # a GitHub App: its own identity, short-lived tokens, Checks
    TOKEN = "token"  # noqa: S105  # a personal, project or group access token


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Our record. Secrets are kept sealed, shown to nobody and never logged."""

    id: ConnectionId
    forge: Forge
    host: str  # `github.com`, `git.lan:8443`
    scheme: str = "https"  # `http` for a forge in the LAN that has nothing else
    kind: ConnectionKind
    name: str = ""  # for people: the App's name, or whose token it is
    app_id: str = ""
    slug: str = ""  # of an App: its page is <forge>/apps/<slug>
    client_id: str = ""  # of an App: it can sign people in
    token: str = field(default="", repr=False)  # of kind TOKEN
    username: str = field(default="", repr=False)  # for git at a local one: whose password `token` is
    private_key: str = field(default="", repr=False)  # of kind APP, PEM
    webhook_secret: str = field(default="", repr=False)  # of kind APP
    client_secret: str = field(default="", repr=False)  # of kind APP
    old_webhook_secret: str = field(default="", repr=False)  # still taken, until then
    old_webhook_secret_until: float = 0.0  # Unix seconds
    created_at: datetime.datetime
    note: str = ""  # what is wrong with it, for people

    @property
    def is_app(self) -> bool:
        return self.kind is ConnectionKind.APP

    @property
    def install_url(self) -> str:
        """Where an App is given repositories; on GitHub Enterprise Apps live under another path."""
        kind = "apps" if self.host == "github.com" else "github-apps"
        return f"{self.web_url}/{kind}/{self.slug}/installations/new" if self.slug else ""

    @property
    def web_url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def api_url(self) -> str:
        """https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api and GitLab's own."""
        if self.forge is Forge.GITLAB:
            return self.web_url  # python-gitlab adds /api/v4
        return "https://api.github.com" if self.host == "github.com" else f"{self.web_url}/api/v3"
