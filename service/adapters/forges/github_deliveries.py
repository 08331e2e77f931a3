"""Deliveries that never arrived are sent again. GitHub itself never tries twice.

https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.adapters.forges.github_transport import PER_PAGE, GitHubRequester

REDELIVERABLE = datetime.timedelta(days=3)
MAX_PAGES = 100  # of 100 deliveries
MAX_ATTEMPTS = 5  # a delivery that we keep refusing is let be


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One entry of GitHub's list. Attempts of one delivery share the guid."""

    id: int
    guid: str
    at: datetime.datetime
    is_ok: bool
    repository: int | None  # only an App's webhook names it


def failed(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The newest attempt of each delivery of which none succeeded, oldest first, as they were meant to arrive."""
    by_guid: dict[str, list[Attempt]] = {}
    for each in attempts:
        by_guid.setdefault(each.guid, []).append(each)
    lost = [group for group in by_guid.values() if not any(each.is_ok for each in group) and len(group) < MAX_ATTEMPTS]
    lost.sort(key=lambda group: min(each.at for each in group))
    return [max(group, key=lambda each: each.at) for group in lost]


def redeliver(
    requester: GitHubRequester, path: str, *, since: datetime.datetime, now: datetime.datetime, repository: int | None
) -> int:
    """`path` is that of a webhook's deliveries. Of an App's, those of the repository, and those of none."""
    oldest = max(since, now - REDELIVERABLE)
    mine = [each for each in _attempts(requester, path, oldest) if repository is None or _is_of(each, repository)]
    done = 0
    for each in failed(mine):
        if _send(requester, f"{path}/{each.id}/attempts"):
            done += 1
    return done


def _is_of(attempt: Attempt, repository: int) -> bool:
    return attempt.repository is None or attempt.repository == repository


def _send(requester: GitHubRequester, url: str) -> bool:
    """False when GitHub will not send this one; the others are tried all the same."""
    status, headers, text = requester.requestJson("POST", url)
    if status in (404, 410, 422):  # too old by now, or gone
        return False
    if status >= 400:
        raise requester.createException(status, headers, {"message": text[:200]})
    return True


def _attempts(requester: GitHubRequester, path: str, oldest: datetime.datetime) -> Iterator[Attempt]:
    """Newest first, page by page; a page's cursor is in the Link header."""
    cursor = ""
    for _ in range(MAX_PAGES):
        parameters = {"per_page": str(PER_PAGE), **({"cursor": cursor} if cursor else {})}
        headers, found = requester.requestJsonAndCheck("GET", path, parameters)
        page = [_attempt(each) for each in found]
        yield from (each for each in page if each.at >= oldest)
        cursor = _cursor(str(headers.get("link", "")))
        if not cursor or (page and page[-1].at < oldest):
            return


def _attempt(fields: dict[str, Any]) -> Attempt:
    repository = fields.get("repository_id")
    return Attempt(
        id=int(fields["id"]),
        guid=str(fields["guid"]),
        at=datetime.datetime.fromisoformat(fields["delivered_at"]),
        is_ok=fields["status"] == "OK",
        repository=None if repository is None else int(repository),
    )


def _cursor(link: str) -> str:
    for part in link.split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            return next(iter(parse_qs(urlsplit(address.strip(" <>")).query).get("cursor", [])), "")
    return ""
