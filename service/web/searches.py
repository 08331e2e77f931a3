"""A search through a fleet, as the query of an address says it."""

import datetime
from typing import Any

from starlette.requests import Request

from service.domain.device import DeviceState
from service.domain.errors import BadInputError
from service.domain.inventory import DEFAULT_LIMIT, MAX_LIMIT, MAX_TEXT_CHARS, Search
from service.domain.repository import RepositoryId

TEXTS = ("board", "channel", "group", "tag", "version", "text")
FLAGS = ("connected", "held")
STATES = ("none", *(each.value for each in DeviceState))
PAGING = ("after", "limit")
KNOWN = (*TEXTS, *FLAGS, *PAGING, "state", "unseen_h", "repository")
MAX_UNSEEN_HOURS = 24 * 366 * 10


def search(request: Request, repositories: frozenset[RepositoryId] | None, now: datetime.datetime) -> Search:
    """What is empty was left so in a form. Raises: BadInputError naming the word that is not understood."""
    given = {name: text for name, text in request.query_params.items() if text or name not in KNOWN}
    if unknown := sorted({*given} - {*KNOWN}):
        raise BadInputError(f"{unknown[0][:80]!r} is not known here; known are {', '.join(KNOWN)}")
    for name in (*TEXTS, "after"):
        if len(given.get(name, "")) > MAX_TEXT_CHARS:
            raise BadInputError(f"{name} has at most {MAX_TEXT_CHARS} characters")
    if given.get("state", "none") not in STATES:
        raise BadInputError(f"state is one of {', '.join(STATES)}")
    values: dict[str, Any] = {name: given.get(name, "") for name in (*TEXTS, "state")}
    values |= {name: _flag(name, given[name]) for name in FLAGS if name in given}
    since = now - datetime.timedelta(hours=_hours(given["unseen_h"])) if "unseen_h" in given else None
    return Search(repositories=repositories, unseen_since=since, **values)


def limit(request: Request) -> int:
    """How many of a long list are wanted. Raises: BadInputError."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise BadInputError(f"limit is a number from 1 to {MAX_LIMIT}")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise BadInputError(f"{name} is true or false")
    return text == "true"


def _hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_UNSEEN_HOURS:
        raise BadInputError(f"unseen_h is a number of hours up to {MAX_UNSEEN_HOURS}")
    return value
