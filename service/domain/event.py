"""What a delivery says, in no forge's words."""

import enum
import re
from dataclasses import dataclass

MAX_REF_CHARS = 255
ZERO = re.compile(r"0{40}|0{64}")  # "no commit": a ref that was created or deleted
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/(?:heads|tags)/[^\x00-\x20\x7f~^:?*\[\\]+")


class EventKind(enum.Enum):
    PUSH = "push"  # a branch moved: build it
    TAG = "tag"  # a tag was made or moved: build it
    PING = "ping"  # the forge tries the hook
    IGNORED = "ignored"  # authentic, but nothing for us to do


def is_commit(text: str) -> bool:
    return _COMMIT.fullmatch(text) is not None


def is_ref(text: str) -> bool:
    """A full branch or tag name that git takes (git-check-ref-format), safe as an argument."""
    return (
        len(text) <= MAX_REF_CHARS
        and _REF.fullmatch(text) is not None
        and ".." not in text
        and "@{" not in text
        and "//" not in text
        and not text.endswith(("/", ".", ".lock"))
        and all(not part.startswith((".", "-")) for part in text.split("/"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One authentic delivery, decoded. `ref` and `commit` are empty unless it is a push or a tag."""

    kind: EventKind
    delivery: str  # the forge's id, the same on a redelivery
    path: str = ""  # the repository it speaks of, as the forge names it
    ref: str = ""
    commit: str = ""
    title: str = ""  # first line of the commit's message, at most 200 characters
    author: str = ""
    why: str = ""  # for an ignored one: the reason, for people

    @property
    def branch(self) -> str:
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else ""

    @property
    def tag(self) -> str:
        return self.ref.removeprefix("refs/tags/") if self.ref.startswith("refs/tags/") else ""
