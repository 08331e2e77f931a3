"""Who did what: an entry of the audit log."""

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.repository import RepositoryId

MAX_DETAIL_CHARS = 500
MAX_SUBJECT_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody did. It names settings and never their values, keys by their role and never themselves."""

    who: str  # a user's id, `token/...`, `administrator`, or `kiln` for what the service did by itself
    what: str  # noun and verb: `release.promoted`, `rollout.paused`, `settings.changed`, `key.used`
    repository: RepositoryId | None = None
    subject: str = ""  # the device, release, channel or key that it was done to
    detail: str = ""


Noted = tuple[Deed, datetime.datetime]  # to be written with what it is about, or nothing is


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A deed as it is kept."""

    id: int
    at: datetime.datetime
    deed: Deed
    chain: str  # SHA-256 over the chain of the entry before and this one's words

    @property
    def words(self) -> dict[str, str]:
        """All that the chain covers beside the time."""
        return words_of(self.deed)

    @property
    def row(self) -> dict[str, Any]:
        """As it is exported: enough to compute the chain again."""
        return {"id": self.id, "at": self.at.timestamp(), **self.words, "chain": self.chain}


def words_of(deed: Deed) -> dict[str, str]:
    """As they are kept, within their limits."""
    return {
        "who": deed.who,
        "what": deed.what,
        "repository": deed.repository or "",
        "subject": deed.subject[:MAX_SUBJECT_CHARS],
        "detail": deed.detail[:MAX_DETAIL_CHARS],
    }


def chained(before: str, at: float, words: Mapping[str, str]) -> str:
    """Of an entry, after the chain of the one before it. `at` is in Unix seconds."""
    return hashlib.sha256(json.dumps([before, at, dict(words)], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a look through a whole log found."""

    entries: int
    last: str  # id and chain of the newest entry, `17:ab...`: who writes it down can tell later that all is still there
    broken: str = ""  # where the chain breaks, for people; empty: nowhere


def check(rows: Iterable[Mapping[str, Any]], *, seen: str = "") -> Checked:
    """Compute the chain of a whole log again, oldest entry first, up to where it breaks.

    `seen` is the `last` of an earlier look: an entry that must be among these. Raises: KeyError, TypeError, ValueError,
    OverflowError for what is no entry.
    """
    chain, count, last, is_seen = "", 0, "", seen == ""
    for row in rows:
        name = int(row["id"])
        words = {key: str(row[key]) for key in ("who", "what", "repository", "subject", "detail")}
        if row["chain"] != chained(chain, float(row["at"]), words):
            after = f"entry {last.partition(':')[0]}" if last else "the beginning"
            why = f"entry {name} ({words['what']} by {words['who']}) does not follow {after}: one of them was changed"
            return Checked(entries=count, last=last, broken=f"{why}, or others lay between")
        chain, count, last = row["chain"], count + 1, f"{name}:{row['chain']}"
        is_seen = is_seen or last == seen
    broken = (
        "" if is_seen else f"entry {seen.partition(':')[0]} is not there as it was seen: the log was cut or made anew"
    )
    return Checked(entries=count, last=last, broken=broken)
