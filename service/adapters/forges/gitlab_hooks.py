"""The webhook of a project at GitLab: made, looked at, repaired, tried, removed.

https://docs.gitlab.com/api/project_webhooks/
"""

import itertools
from collections.abc import Mapping
from typing import Any

from service.adapters.forges.gitlab_client import GitLabClient, RefusedAnswerError
from service.adapters.forges.gitlab_events import newest_status
from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.hook import HookState
from service.domain.repository import Check
from service.forge import HookTarget, RemoteHook

MAX_HOOKS = 200  # of a project; GitLab allows 100
TRIAL = "push_events"  # the kind of delivery that a hook is tried with

_WANTED = {
    "push_events": True,
    "tag_push_events": True,
    "merge_requests_events": True,
    "enable_ssl_verification": True,
    "push_events_branch_filter": "",
}
_ALL_BRANCHES = "all_branches"  # a strategy under which the filter does not count
_NOTHING_TO_TRY = "at least one commit"


class ProjectHooks:
    """`service.forge.ForgeApi`'s part about the webhook."""

    def __init__(self, client: GitLabClient, project: str, check: Check) -> None:
        self._client = client
        self._project = project
        self._check = check

    def ensure(self, target: HookTarget, hook: str) -> RemoteHook:
        shown = self._find(hook, target.url)
        if shown is None:
            made = self._write(target, None)
            return self._tried(made, HookState.OK, "")
        changed = differences(shown, target.url, self._check)
        # Written in any case: its secret may be another one by now, and GitLab shows none.
        written = self._write(target, shown)
        return self._tried(written, HookState.REPAIRED if changed else HookState.OK, _repaired(changed))

    def check(self, target: HookTarget, hook: str) -> RemoteHook:
        shown = self._find(hook, target.url)
        if shown is None:
            return RemoteHook(id=hook, state=HookState.MISSING, detail="somebody removed the webhook at the forge")
        name = str(shown["id"])
        changed = differences(shown, target.url, self._check)
        newest = newest_status(self._client, self._project, name)
        if newest in ("401", "403"):
            changed = (*changed, "secret")  # our own door said so
        if changed:
            return self._tried(self._write(target, shown), HookState.REPAIRED, _repaired(changed))
        if _off(shown):
            # A trial that succeeds switches it on again.
            return self._tried(shown, HookState.REPAIRED, "GitLab had switched it off; it is on again")
        if newest and not newest.startswith("2"):
            return RemoteHook(id=name, state=HookState.UNREACHABLE, detail=f"the last delivery ended with {newest}")
        return RemoteHook(id=name, state=HookState.OK)

    def remove(self, hook: str) -> None:
        if not hook:
            return
        try:
            self._client.ask(lambda gitlab: self._hooks(gitlab).delete(hook))
        except RefusedAnswerError as refusal:
            if refusal.status != 404:
                raise

    def _hooks(self, gitlab: Any) -> Any:
        return gitlab.projects.get(self._project, lazy=True).hooks

    def _get(self, hook: str) -> dict[str, Any] | None:
        try:
            return self._client.ask(lambda gitlab: _hook(self._hooks(gitlab).get(hook).attributes))
        except RefusedAnswerError as refusal:
            if refusal.status != 404:
                raise
            return None

    def _find(self, hook: str, url: str) -> dict[str, Any] | None:
        if hook and (shown := self._get(hook)) is not None:
            return shown

        def listing(gitlab: Any) -> list[dict[str, Any]]:
            each = self._hooks(gitlab).list(iterator=True, per_page=100)
            return [_hook(one.attributes) for one in itertools.islice(each, MAX_HOOKS)]

        return next((one for one in self._client.ask(listing) if one.get("url") == url), None)

    def _write(self, target: HookTarget, shown: Mapping[str, Any] | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"url": target.url, **_WANTED}
        if self._check is Check.SIGNATURE:
            fields |= {"signing_token": target.secret, "token": ""}
        else:
            fields["token"] = target.secret
            if shown is not None and shown.get("signing_token_present"):
                fields["signing_token"] = ""
        if shown is not None and shown.get("custom_webhook_template"):
            fields["custom_webhook_template"] = ""
        try:
            written = self._client.ask(lambda gitlab: self._put(gitlab, fields, shown))
        except RefusedAnswerError as refusal:
            if not _is_about_address(refusal):
                raise
            raise ForgeRefusedError(
                f"GitLab does not take the address {target.url}: in its settings, Network, Outbound requests, an "
                f"administrator has to allow webhooks to it ({refusal.said})"
            ) from refusal
        if self._check is Check.SIGNATURE and not written.get("signing_token_present"):
            if shown is None:
                self.remove(str(written["id"]))
            raise ForgeRefusedError(
                f"{self._client.host} does not know signing tokens for webhooks: update it, or use a secret token"
            )
        return written

    def _put(self, gitlab: Any, fields: dict[str, Any], shown: Mapping[str, Any] | None) -> dict[str, Any]:
        if shown is None:
            return _hook(self._hooks(gitlab).create(fields).attributes)
        return _hook(self._hooks(gitlab).update(shown["id"], fields))

    def _tried(self, shown: Mapping[str, Any], state: HookState, detail: str) -> RemoteHook:
        """The hook after a trial. Hosts differ in whether they can try one; only a clear failure counts."""
        name = str(shown["id"])
        try:
            self._client.ask(lambda gitlab: self._hooks(gitlab).get(name, lazy=True).test(TRIAL))
        except (RefusedAnswerError, ForgeError) as error:
            failed = isinstance(error, RefusedAnswerError) and error.status == 422 and _NOTHING_TO_TRY not in error.said
            if failed:
                state, detail = HookState.UNREACHABLE, f"GitLab tried it in vain: {error.said}"  # type: ignore[union-attr]
            elif not detail:
                detail = "not tried yet"
            if _off(shown):
                state, detail = HookState.DISABLED, disabled(shown)
        return RemoteHook(id=name, state=state, detail=detail)


def differences(shown: Mapping[str, Any], url: str, check: Check) -> tuple[str, ...]:
    """What somebody changed, by GitLab's names. What a host does not show cannot be told."""
    wanted: dict[str, Any] = {"url": url, **_WANTED}
    if shown.get("branch_filter_strategy") == _ALL_BRANCHES:
        del wanted["push_events_branch_filter"]
    wrong = [name for name, value in wanted.items() if name in shown and (shown[name] or "") != (value or "")]
    secret = "signing_token_present" if check is Check.SIGNATURE else "token_present"
    if shown.get(secret) is False:
        wrong.append("secret")
    if check is Check.TOKEN and shown.get("signing_token_present"):
        wrong.append("signing_token")
    if shown.get("custom_webhook_template"):
        wrong.append("custom_webhook_template")
    return tuple(wrong)


def disabled(shown: Mapping[str, Any]) -> str:
    """https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks"""
    until = shown.get("disabled_until")
    if shown.get("alert_status") == "temporarily_disabled" and isinstance(until, str):
        return f"GitLab switched it off after failed deliveries until {until[:40]}: see that it can reach this address"
    return (
        "GitLab switched it off for good after failed deliveries: see that it can reach this address, "
        "then check the webhook again"
    )


def _hook(fields: object) -> dict[str, Any]:
    """Raises: TypeError."""
    if not isinstance(fields, Mapping) or not isinstance(fields.get("id"), int):
        raise TypeError("a webhook is an object with a number")
    return dict(fields)


def _off(shown: Mapping[str, Any]) -> bool:
    return shown.get("alert_status") in ("temporarily_disabled", "disabled")


def _repaired(changed: tuple[str, ...]) -> str:
    return f"it had been changed: {', '.join(changed)}" if changed else ""


def _is_about_address(refusal: RefusedAnswerError) -> bool:
    """https://docs.gitlab.com/security/webhooks/ has what an administrator may forbid."""
    return refusal.status in (400, 422) and any(word in refusal.said.lower() for word in ("local", "url"))
