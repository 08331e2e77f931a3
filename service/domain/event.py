"""What a delivery says, in no forge's words."""

import enum
import re
from dataclasses import dataclass

MAX_REF_CHARS = 255
MAX_CHANGED_PATHS = 1000  # kept with a build; where more were touched, all counts as changed
MAX_CHANGED_BYTES = 64 << 10
MAX_COMMITS = 100  # kept with a build: the newest of those that came with it
MAX_TAG_MESSAGE_CHARS = 4096
MAX_TITLE_CHARS = 200
FOUND, BY_HAND = "found by looking", "started by hand"
OUR_TITLES = (FOUND, BY_HAND)  # of a build until its commit's own is known: no delivery said it
ZERO = re.compile(r"0{40}|0{64}")  # "no commit": a ref that was created or deleted
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/(?:heads|tags)/[^\x00-\x20\x7f~^:?*\[\\]+")
_REQUEST_REF = re.compile(r"refs/(?:pull|merge-requests)/[1-9]\d{0,9}/head")
QUEUE_REFS = "refs/heads/gh-readonly-queue/"  # GitHub's merge queue: built by its own event, not as pushes


class EventKind(enum.Enum):
    PUSH = "push"  # a branch moved: build it
    TAG = "tag"  # a tag was made or moved: build it
    REQUEST = "request"  # a pull or merge request wants its head built
    MERGE_GROUP = "merge_group"  # GitHub's merge queue waits for our word on a commit
    DELETED = "deleted"  # a branch or tag is gone: stop building it
    CLOSED = "closed"  # a request was closed, merged or made a draft; a merge group was given up
    RERUN = "rerun"  # somebody pressed "re-run" on a build or a commit
    CHANGED = "changed"  # the repository itself changed, or our access to it
    PING = "ping"  # the forge tries the hook
    IGNORED = "ignored"  # authentic, but nothing for us to do


BUILT = frozenset({EventKind.PUSH, EventKind.TAG, EventKind.REQUEST, EventKind.MERGE_GROUP})


class RepositoryChange(enum.Enum):
    """What happened to a repository, in a :attr:`EventKind.CHANGED` event."""

    MOVED = "moved"  # renamed or transferred; the event's path is the new one
    MADE_PRIVATE = "made_private"
    MADE_PUBLIC = "made_public"
    DELETED = "deleted"
    HOOK_DELETED = "hook_deleted"
    ACCESS_LOST = "access_lost"  # the App was uninstalled or suspended, or the repository taken from it
    ACCESS_GAINED = "access_gained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A pull request (GitHub) or merge request (GitLab)."""

    number: int
    is_fork: bool  # its head lives in another repository, or in one that is gone


def title_of(message: str) -> str:
    """The first line, for people: short, and of characters that a terminal and a database take."""
    return printable(message.strip().partition("\n")[0][:MAX_TITLE_CHARS]).strip()


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


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
        and not text.endswith(("/", "."))
        and not any(part.startswith((".", "-")) or part.endswith(".lock") for part in text.split("/"))
    )


def is_request_ref(text: str) -> bool:
    """Where a forge keeps the head of a request."""
    return _REQUEST_REF.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One authentic delivery, decoded.

    `ref` and `commit` are set for what is built; `ref` alone for what is to be stopped; `commit` or `build`, and
    perhaps neither `ref`, for a re-run.
    """

    kind: EventKind
    delivery: str  # the forge's id, the same on a redelivery
    path: str = ""  # the repository it speaks of, as the forge names it
    forge_id: str = ""  # the forge's own number for it, which stays when it is renamed
    ref: str = ""
    commit: str = ""
    before: str = ""  # what the ref held until now; empty when it is new or not known
    title: str = ""  # `title_of` the commit's message; one of `OUR_TITLES` where no delivery said it
    author: str = ""
    why: str = ""  # for an ignored one: the reason, for people
    changed: tuple[str, ...] | None = None  # paths that a push touched; None: not known, so all of them
    # What came with a push, newest last: commit and title. None: not said. Where the list is not whole, it begins with
    # an entry without a commit that says so.
    commits: tuple[tuple[str, str], ...] | None = None
    tag_message: str = ""  # of an annotated tag, where the forge says it
    request: Request | None = None
    build: str = ""  # of a re-run: our own id of the build, as we told the forge
    again: bool = False  # a person asks for it: build it, even if it was built
    is_newest: bool = True  # of a re-run: whether the ref has not gone elsewhere since
    undoes: int | None = None  # the roll-out that was aborted, for whose devices what ran before is made again
    channel: str = ""  # that its release goes to, whatever its ref says
    change: RepositoryChange | None = None
    is_found: bool = False  # no delivery said so: we looked, when `before` was the newest that we had built
    # Of an installation: the repositories that it is about, an owner standing for all of its. Of a move: where it was.
    paths: tuple[str, ...] = ()

    @property
    def may_release(self) -> bool:
        """Whether the commit is one that somebody with write access put there, and that devices may be led to."""
        return self.kind in (EventKind.PUSH, EventKind.TAG) and self.is_newest

    @property
    def branch(self) -> str:
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else ""

    @property
    def tag(self) -> str:
        return self.ref.removeprefix("refs/tags/") if self.ref.startswith("refs/tags/") else ""
