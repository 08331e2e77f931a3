"""GitHub's refusals and failures as errors of our own.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import requests
from github.GithubException import BadAttributeException, GithubException

from service.adapters.forges import payload
from service.domain.errors import ForgeError, ForgeRefusedError

DEFAULT_WAIT_S = 60.0  # where GitHub names no time; "wait for at least one minute"
MAX_WAIT_S = 24 * 3600.0
MAX_SAID_CHARS = 200

_PASSING = (408, 425, 429)
_MISREAD = (BadAttributeException, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_LIMIT_WORDS = ("rate limit", "abuse detection", "retry your request again later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What a request is for: `GitHub did not <doing>`, and the right that it needs, for people."""

    doing: str
    needs: str
    who: str = "the connection"
    secrets: tuple[str, ...] = field(default=(), repr=False)  # never repeated, should GitHub quote them


@contextlib.contextmanager
def translated(purpose: Purpose, now: datetime.datetime) -> Iterator[None]:
    """Raises: ForgeRefusedError, ForgeError; without the foreign error, whose text holds whole answers."""
    try:
        yield
    except GithubException as error:
        raise _answered(error, purpose, now) from None
    except requests.exceptions.SSLError:
        raise ForgeError(f"GitHub did not {purpose.doing}: its TLS certificate cannot be verified") from None
    except requests.RequestException as error:
        raise ForgeError(f"GitHub did not {purpose.doing}: no answer ({type(error).__name__})") from None
    except _MISREAD as error:
        # PyGithub asserts types and parses dates; what it stumbles over is an answer that is not of GitHub's format.
        kind = type(error).__name__
        raise ForgeError(f"GitHub did not {purpose.doing}: its answer is not of the format ({kind})") from None


def _answered(error: GithubException, purpose: Purpose, now: datetime.datetime) -> ForgeError | ForgeRefusedError:
    headers = {name.lower(): str(value) for name, value in (error.headers or {}).items()}
    said = _said(error.data, purpose.secrets)
    wait_s = _wait_s(error.status, headers, said, now)
    if wait_s is not None:
        return ForgeError(f"GitHub asks to wait {wait_s:.0f} s: {said or error.status}", retry_after_s=wait_s)
    if error.status >= 500 or error.status in _PASSING:
        again_s = _number(headers.get("retry-after", ""))
        return ForgeError(f"GitHub did not {purpose.doing}: it answers {error.status}", retry_after_s=again_s)
    return ForgeRefusedError(f"GitHub did not {purpose.doing}: {_advice(error.status, headers, said, purpose)}")


def _advice(status: int, headers: Mapping[str, str], said: str, purpose: Purpose) -> str:
    needed = payload.line(headers.get("x-accepted-github-permissions"))
    right = f"{purpose.needs} ({needed})" if needed else purpose.needs
    quoted = f"; it says: {said}" if said else ""
    match status:
        case 401:
            return f"it does not take what {purpose.who} signs in with: give it a new token or key{quoted}"
        case 403:
            return f"{purpose.who} needs the right {right}{quoted}"
        case 404:
            return f"no such thing, or {purpose.who} may not see it: it needs access and the right {right}"
        case 410:
            return f"it is gone or switched off there{quoted}"
        case _:
            return f"it answers {status}{quoted}"


def _wait_s(status: int, headers: Mapping[str, str], said: str, now: datetime.datetime) -> float | None:
    """How long GitHub wants to be left alone; None when this is no rate limit."""
    if status not in (403, 429):
        return None
    after = headers.get("retry-after")
    if after is not None:
        return _within(_number(after))
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset", ""))
        return DEFAULT_WAIT_S if reset is None else _within(reset - now.timestamp())
    is_limit = status == 429 or any(words in said.lower() for words in _LIMIT_WORDS)
    return DEFAULT_WAIT_S if is_limit else None


def _within(seconds: float | None) -> float:
    return DEFAULT_WAIT_S if seconds is None else min(max(seconds, 1.0), MAX_WAIT_S)


def _number(text: str) -> float | None:
    """Seconds in digits; the other form of Retry-After, a date, is not one of GitHub's."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _said(data: object, secrets: tuple[str, ...]) -> str:
    """GitHub's own words, short enough for a sentence."""
    if not isinstance(data, dict):
        return ""
    errors = data.get("errors")
    more = errors[:3] if isinstance(errors, list) else []
    words = [data.get("message"), *(_words(each) for each in more)]
    text = payload.line("; ".join(each for each in words if isinstance(each, str)))
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    return text[:MAX_SAID_CHARS]


def _words(error: object) -> object:
    return error.get("message") or error.get("code") if isinstance(error, dict) else error
