"""The webhook of a repository at GitHub, and the one webhook that an App has.

https://docs.github.com/en/rest/repos/webhooks and https://docs.github.com/en/rest/apps/webhooks
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from github.GithubException import GithubException
from github.Hook import Hook
from github.Repository import Repository as Remote

from service.adapters.forges import payload
from service.adapters.forges.github_transport import GitHubRequester, whole_number
from service.domain.errors import ForgeError
from service.domain.hook import HookState
from service.forge import HookTarget, RemoteHook

EVENTS = ("push", "pull_request", "merge_group", "check_run", "check_suite", "repository", "meta")
MAX_HOOKS = 300  # GitHub takes 20 for each event

_KIND = "web"
_QUIET = ("unused", "pending")  # of `last_response`: nothing was sent yet


def app_hook_url(url: str, connection: str) -> str:
    """Where the App of this connection sends everything, given the address of any webhook of ours."""
    return f"{url.partition('/hooks/')[0]}/hooks/app/{connection}"


def config_of(target: HookTarget) -> dict[str, str]:
    return {"url": target.url, "content_type": "json", "insecure_ssl": "0", "secret": target.secret}


def ensure(remote: Remote, target: HookTarget, hook: str) -> RemoteHook:
    found = _find(remote, target, hook)
    if found is None:
        try:
            made = remote.create_hook(_KIND, config_of(target), list(EVENTS), active=True)
        except GithubException as error:
            # Somebody was faster, perhaps ourselves before a crash.
            found = _find(remote, target, hook) if error.status == 422 else None
            if found is None:
                raise
        else:
            # GitHub pings a new one by itself.
            return RemoteHook(id=whole_number(made.id), state=HookState.OK)
    fault = _fault(found, target)
    # Always written: GitHub does not show the secret, so nobody can see that it is the right one.
    _repair(found, target)
    found.ping()
    state = HookState.REPAIRED if fault else HookState.OK
    return RemoteHook(id=whole_number(found.id), state=state, detail=fault)


def check(remote: Remote, target: HookTarget, hook: str) -> RemoteHook:
    found = _find(remote, target, hook)
    if found is None:
        return RemoteHook(id=hook, state=HookState.MISSING, detail="somebody removed the webhook at GitHub")
    fault = _fault(found, target) or _refused(found)
    if fault:
        _repair(found, target)
        return RemoteHook(id=whole_number(found.id), state=HookState.REPAIRED, detail=fault)
    trouble = _trouble(found)
    state = HookState.UNREACHABLE if trouble else HookState.OK
    return RemoteHook(id=whole_number(found.id), state=state, detail=trouble)


def remove(remote: Remote, hook: str) -> None:
    if not _is_id(hook):
        return
    _unless_missing(remote.get_hook(int(hook)).delete)


def ensure_app(requester: GitHubRequester, target: HookTarget, *, is_new: bool) -> RemoteHook:
    """The App's own webhook, whose secret GitHub does not show either: `is_new` writes it in any case."""
    _, config = requester.requestJsonAndCheck("GET", "/app/hook/config")
    fault = _config_fault(config, target)
    if fault or is_new:
        requester.requestJsonAndCheck("PATCH", "/app/hook/config", input=config_of(target))
    return RemoteHook(id="app", state=HookState.REPAIRED if fault else HookState.OK, detail=fault)


def _repair(found: Hook, target: HookTarget) -> None:
    found.edit(_KIND, config_of(target), events=list(EVENTS), active=True)
    left = _fault(found, target)  # by what GitHub answered
    if left:
        raise ForgeError(f"GitHub did not repair the webhook: {left}, as before")


def _find(remote: Remote, target: HookTarget, hook: str) -> Hook | None:
    """By its id, else by its URL."""
    if _is_id(hook):
        known = remote.get_hook(int(hook))
        if _unless_missing(known.complete):
            return known
    hooks = islice(remote.get_hooks(), MAX_HOOKS)
    return next((each for each in hooks if each.config.get("url") == target.url), None)


def _is_id(hook: str) -> bool:
    return hook.isascii() and hook.isdigit()


def _unless_missing(call: Callable[[], object]) -> bool:
    """Whether it was there."""
    try:
        call()
    except GithubException as error:
        if error.status != 404:
            raise
        return False
    return True


def _fault(found: Hook, target: HookTarget) -> str:
    """What was changed about it, for people."""
    if not found.active:
        return "it was switched off"
    missing = sorted(set(EVENTS) - set(found.events))
    if missing and "*" not in found.events:
        return f"it lacked the events {', '.join(missing)}"
    return _config_fault(found.config, target)


def _config_fault(config: Mapping[str, Any], target: HookTarget) -> str:
    if config.get("url") != target.url:
        return "it led to another address"
    if config.get("content_type") != "json":
        return "its content type was not application/json"
    if str(config.get("insecure_ssl", "0")) != "0":
        return "it did not verify our TLS certificate"
    if not config.get("secret"):
        return "it had no secret"
    return ""


def _refused(found: Hook) -> str:
    """A delivery of it that we did not take for authentic: its secret is another one."""
    return "its secret was changed" if found.last_response.code == 401 else ""


def _trouble(found: Hook) -> str:
    answer = found.last_response
    code: int | None = answer.code  # null until something was sent, whatever PyGithub says of its type
    if answer.status in _QUIET or (code is not None and 200 <= code < 300):
        return ""
    said = payload.line(answer.message) or "no answer"
    return f"GitHub's last delivery failed: {code or ''} {said}".replace("  ", " ")
