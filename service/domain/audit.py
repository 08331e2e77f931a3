"""Who did what: an entry of the audit log."""

import datetime
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A deed as it is kept."""

    id: int
    at: datetime.datetime
    deed: Deed
    chain: str  # SHA-256 over the chain of the entry before and this one's words
