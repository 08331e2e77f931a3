"""The manifest flow: a GitHub App in two clicks, its keys handed over once.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from service.adapters.forges.github_errors import Purpose, translated
from service.adapters.forges.github_hooks import app_hook_url
from service.adapters.forges.github_transport import GitHubRequester, http_session
from service.domain.connection import MAX_SECRET_CHARS, Connection, ConnectionKind
from service.domain.errors import BadInputError
from service.ports import Clock

MAX_NAME_CHARS = 34
PERMISSIONS = {
    "checks": "write",
    "contents": "read",
    "merge_queues": "read",  # or GitHub does not send merge_group
    "metadata": "read",
    "pull_requests": "read",  # or it does not send pull_request
}
# installation and installation_repositories come without being asked for; meta is for webhooks of repositories.
EVENTS = ("push", "pull_request", "merge_group", "check_run", "check_suite", "repository")

_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
_ORGANIZATION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")


def manifest(
    *, name: str, base_url: str, connection: str, redirect_url: str, callback_urls: Sequence[str] = ()
) -> dict[str, Any]:
    """What the form posts as `manifest`, in JSON. Raises: BadInputError for a name that GitHub would refuse."""
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise BadInputError(f"the App's name has 1 to {MAX_NAME_CHARS} characters")
    return {
        "name": name,
        "url": base_url,
        "hook_attributes": {"url": app_hook_url(f"{base_url}/hooks/", connection), "active": True},
        "redirect_url": redirect_url,
        "callback_urls": list(callback_urls),
        "public": False,
        "default_permissions": dict(PERMISSIONS),
        "default_events": list(EVENTS),
    }


def form_url(web_url: str, organization: str = "") -> str:
    """Where the form is posted to; add `?state=`. Raises: BadInputError."""
    if not organization:
        return f"{web_url}/settings/apps/new"
    if _ORGANIZATION.fullmatch(organization) is None:
        raise BadInputError("an organization's name is of letters, digits and dashes, at most 39")
    return f"{web_url}/organizations/{organization}/settings/apps/new"


def convert(draft: Connection, code: str, clock: Clock) -> Connection:
    """The connection of the App that was just made; `draft` says id, host and scheme. A code is good once, for an hour.

    https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest
    Raises: BadInputError for what is no code; ForgeRefusedError, ForgeError.
    """
    if _CODE.fullmatch(code) is None:
        raise BadInputError("code is what GitHub sent along: begin again from the connections page")
    purpose = Purpose(doing="hand over the new App", needs="a code younger than an hour", secrets=(code,))
    with contextlib.closing(http_session()) as session, translated(purpose, clock.now()):
        requester = GitHubRequester(draft.api_url, session, None)
        _, given = requester.requestJsonAndCheck("POST", f"/app-manifests/{code}/conversions")
        return dataclasses.replace(
            draft,
            kind=ConnectionKind.APP,
            name=_text(given, "name"),
            app_id=str(int(given["id"])),
            slug=_text(given, "slug"),
            client_id=_text(given, "client_id"),
            client_secret=_text(given, "client_secret"),
            webhook_secret=_text(given, "webhook_secret"),
            private_key=_text(given, "pem"),
            token="",
        )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SECRET_CHARS:
        raise ValueError(name)
    return value
