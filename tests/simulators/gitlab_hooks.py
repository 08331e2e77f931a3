"""The part of a simulated GitLab's API about webhooks.

https://docs.gitlab.com/api/project_webhooks/
"""

import base64
import binascii
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from service.ports import Clock
from tests.simulators import gitlab_payloads
from tests.simulators.gitlab_calls import Call, RefuseError, Reply, page, require
from tests.simulators.gitlab_delivery import FLAG_OF, Postman
from tests.simulators.gitlab_records import FLAGS, TEXTS, Attempt, Project, WebHook

MAX_HOOKS = 100
PER_MINUTE = 5  # trials, and resends, of one project and token
_CLASSES = {"successful": "2", "client_failure": "4", "server_failure": "5"}


class HooksApi:
    """`version` is (major, minor); signing tokens are behind a flag of the installation."""

    def __init__(self, postman: Postman, clock: Clock) -> None:
        self._postman = postman
        self._clock = clock
        self._ids = iter(range(501, 1 << 62))
        self._tries: dict[tuple[str, int, str], list[float]] = {}
        self.version = (18, 9)
        self.knows_signing = True
        self.allows_local = True  # Admin, Settings, Network, Outbound requests

    def list(self, call: Call, project: Project) -> Reply:
        require(call, project, "maintainer", writes=False)
        return page(call, [self._shown(hook) for hook in project.hooks.values()])

    def get(self, call: Call, project: Project) -> Reply:
        require(call, project, "maintainer", writes=False)
        return Reply(self._shown(self._find(call, project)))

    def create(self, call: Call, project: Project) -> Reply:
        require(call, project, "maintainer", writes=True)
        if len(project.hooks) >= MAX_HOOKS:
            raise RefuseError(422, f"Maximum number of project webhooks ({MAX_HOOKS}) exceeded")
        number = next(self._ids)
        hook = WebHook(id=number, project_id=project.id, url="", created_at=self._clock.now())
        self._set(hook, call.fields)
        project.hooks[number] = hook
        return Reply(self._shown(hook), 201)

    def update(self, call: Call, project: Project) -> Reply:
        require(call, project, "maintainer", writes=True)
        hook = self._find(call, project)
        self._set(hook, call.fields)
        return Reply(self._shown(hook))

    def delete(self, call: Call, project: Project) -> Reply:
        require(call, project, "maintainer", writes=True)
        del project.hooks[self._find(call, project).id]
        return Reply(status=204)

    def test(self, call: Call, project: Project) -> Reply:
        """Delivers whatever the hook's state is, before it answers; a success switches it on again."""
        account = require(call, project, "maintainer", writes=True)
        hook, trigger = self._find(call, project), call.part(5)
        if trigger not in FLAG_OF.values():
            raise RefuseError(400, "", error="trigger does not have a valid value")
        self._limit("test", project, account.username)
        data = gitlab_payloads.sample(project, account.username)
        if data is None:
            raise RefuseError(422, "Ensure the project has at least one commit.")
        name = next(name for name, flag in FLAG_OF.items() if flag == trigger)
        attempt = self._postman.deliver(hook, name, data)
        if not attempt.status.startswith("2"):
            raise RefuseError(422, attempt.body or attempt.status)
        return Reply({"message": "201 Created"}, 201)

    def events(self, call: Call, project: Project) -> Reply:
        require(call, project, "maintainer", writes=False)
        if self.version < (17, 3):
            raise RefuseError(404, "", error="404 Not Found")
        hook = self._find(call, project)
        wanted = [each for each in call.query.get("status", "").split(",") if each]
        found = [each for each in reversed(hook.attempts) if not wanted or any(_is(each, status) for status in wanted)]
        return page(call, [each.shown() for each in found], most=20)

    def resend(self, call: Call, project: Project) -> Reply:
        account = require(call, project, "maintainer", writes=True)
        if self.version < (17, 4):
            raise RefuseError(404, "", error="404 Not Found")
        hook = self._find(call, project)
        self._limit("resend", project, account.username)
        old = next((each for each in hook.attempts if str(each.id) == call.part(5)), None)
        if old is None:
            raise RefuseError(404, "404 Not found")
        if old.url != hook.url:
            raise RefuseError(422, "The hook URL has changed. This log entry cannot be retried.")
        if self._postman.auto_disables and hook.alert_status(self._clock.now()) != "executable":
            raise RefuseError(422, "Hook disabled")
        attempt = self._postman.deliver(hook, old.trigger, old.data, old.key)
        if not attempt.status.isdecimal():
            raise RefuseError(422, attempt.body)
        return Reply({"response_status": int(attempt.status)}, 201)

    def _find(self, call: Call, project: Project) -> WebHook:
        hook = project.hooks.get(int(call.part(3))) if call.part(3).isdecimal() else None
        if hook is None:
            raise RefuseError(404, "404 Not found")
        return hook

    def _shown(self, hook: WebHook) -> dict[str, Any]:
        return hook.shown(self._clock.now(), signs=self.knows_signing)

    def _set(self, hook: WebHook, fields: dict[str, Any]) -> None:
        url = fields.get("url", hook.url)
        if not isinstance(url, str) or not self._may_call(url):
            raise RefuseError(422, "", error="Invalid url given")
        if url != hook.url:
            hook.token = ""  # a secret stays with the address that it was for
        hook.url = url
        hook.flags |= {name: bool(fields[name]) for name in FLAGS if name in fields}
        hook.texts |= {name: str(fields[name] or "") for name in TEXTS if name in fields}
        if "token" in fields:
            hook.token = fields["token"] or ""
        if self.knows_signing and "signing_token" in fields:
            if fields["signing_token"] and not is_signing_token(fields["signing_token"]):
                raise RefuseError(422, {"signing_token": ["is invalid"]})
            hook.signing_token = fields["signing_token"] or ""

    def _may_call(self, url: str) -> bool:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        if self.allows_local:
            return True
        try:
            return ipaddress.ip_address(parts.hostname).is_global
        except ValueError:
            return parts.hostname != "localhost"

    def _limit(self, what: str, project: Project, username: str) -> None:
        now = self._clock.now().timestamp()
        recent = [each for each in self._tries.get((what, project.id, username), []) if each > now - 60]
        if len(recent) >= PER_MINUTE:
            raise RefuseError(429, {"error": "This endpoint has been requested too many times. Try again later."})
        self._tries[what, project.id, username] = [*recent, now]


def is_signing_token(text: str) -> bool:
    """`whsec_` and 32 bytes in base64."""
    try:
        return text.startswith("whsec_") and len(base64.b64decode(text[6:], validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _is(attempt: Attempt, status: str) -> bool:
    if status == "server_failure" and not attempt.status.isdecimal():
        return True
    return attempt.status.startswith(_CLASSES[status]) if status in _CLASSES else attempt.status == status
