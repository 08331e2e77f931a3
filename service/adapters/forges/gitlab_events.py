"""What became of a webhook's deliveries, and sending them again.

https://docs.gitlab.com/api/project_webhooks/#list-all-webhook-events-for-a-project
"""

import datetime
import itertools
from dataclasses import dataclass
from typing import Any

from service.adapters.forges.gitlab_client import GitLabClient, RefusedAnswerError

PER_PAGE = 20  # GitLab gives no more
MAX_EVENTS = 1000  # that one look reads of each kind
MAX_ATTEMPTS = 5  # what failed so often is not sent again: the heads are looked at anyway

# A refused connection counts as a failure of the server; a redirect is not followed and is in none of the classes.
_FAILED = "server_failure,client_failure,301,302,303,307,308"
_GOOD = "successful"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """One attempt to deliver."""

    id: int
    delivery: str  # the same for all attempts
    status: str  # of HTTP, or "internal error"
    is_empty: bool  # its payload was too large to be kept
    created_at: datetime.datetime | None


def newest_status(client: GitLabClient, project: str, hook: str) -> str:
    """How the last delivery ended: `200`, `internal error`. Empty when there was none, or the host keeps no events."""
    found = _events(client, project, hook, "", limit=1)
    return found[0].status if found else ""


def resend_failed(client: GitLabClient, project: str, hook: str, since: datetime.datetime) -> int:
    """Send again, oldest first, what never arrived; how many.

    Of the past 7 days at most. Hosts before 17.4 cannot: nothing to do. They take five a minute.
    Raises: ForgeRefusedError, ForgeError.
    """
    failed = _events(client, project, hook, _FAILED, limit=MAX_EVENTS)
    if not failed:
        return 0
    oldest = min(event.id for event in failed)
    good = {event.delivery for event in _events(client, project, hook, _GOOD, limit=MAX_EVENTS, down_to=oldest)}
    sent = 0
    for event in never_arrived(failed, good, since):
        try:
            _resend(client, project, hook, event.id)
        except RefusedAnswerError as refusal:
            if refusal.status == 404:
                return sent
            if refusal.status != 422:  # that one cannot be sent: its address was another one
                raise
        else:
            sent += 1
    return sent


def never_arrived(failed: list[HookEvent], good: set[str], since: datetime.datetime) -> list[HookEvent]:
    """The newest attempt of each delivery without a success, in the order in which they came."""
    attempts: dict[str, list[HookEvent]] = {}
    for event in failed:
        attempts.setdefault(event.delivery, []).append(event)
    lost = [
        max(each, key=lambda event: event.id)
        for delivery, each in attempts.items()
        if delivery not in good and len(each) < MAX_ATTEMPTS
    ]
    wanted = [each for each in lost if not each.is_empty and (each.created_at is None or each.created_at >= since)]
    return sorted(wanted, key=lambda event: min(each.id for each in attempts[event.delivery]))


def _resend(client: GitLabClient, project: str, hook: str, event: int) -> None:
    client.ask(lambda gitlab: gitlab.http_post(f"{_path(gitlab, project, hook)}/{event}/resend"))


def _path(gitlab: Any, project: str, hook: str) -> str:
    return f"{gitlab.projects.get(project, lazy=True).hooks.path}/{int(hook)}/events"


def _events(
    client: GitLabClient, project: str, hook: str, status: str, *, limit: int, down_to: int = 0
) -> list[HookEvent]:
    """Newest first. Empty where the hook, or this part of the API (17.3), does not exist."""
    if not hook.isdecimal():
        return []
    query = {"per_page": min(PER_PAGE, limit)} | ({"status": status} if status else {})

    def listing(gitlab: Any) -> list[HookEvent]:
        each = gitlab.http_list(_path(gitlab, project, hook), query_data=query, iterator=True)
        events = map(_event, itertools.islice(each, limit))
        return list(itertools.takewhile(lambda event: event.id >= down_to, events))

    try:
        return client.ask(listing)
    except RefusedAnswerError as refusal:
        if refusal.status == 404:
            return []
        raise


def _event(fields: Any) -> HookEvent:
    """Raises: TypeError, ValueError."""
    if not isinstance(fields, dict):
        raise TypeError("an event is an object")
    headers, data = fields.get("request_headers"), fields.get("request_data")
    key = headers.get("Idempotency-Key") if isinstance(headers, dict) else None
    number = int(fields.get("id") or 0)
    created = fields.get("created_at")
    return HookEvent(
        id=number,
        delivery=key if isinstance(key, str) and key else f"event {number}",
        status=str(fields.get("response_status") or ""),
        is_empty=isinstance(data, dict) and data.get("oversize") is True,
        created_at=_time(created) if isinstance(created, str) else None,
    )


def _time(text: str) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
