"""What deliveries of all forges say: the rules of a push and of a request, in the words of `service.domain.event`."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from service.adapters.forges import payload
from service.domain.errors import MalformedError
from service.domain.event import (
    MAX_CHANGED_BYTES,
    MAX_CHANGED_PATHS,
    MAX_COMMITS,
    MAX_TAG_MESSAGE_CHARS,
    ZERO,
    Event,
    EventKind,
    Request,
    is_commit,
    is_ref,
    is_request_ref,
)

# GitHub's words; GitLab knows the first two of them.
# https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
# https://docs.gitlab.com/ci/pipelines/#skip-a-pipeline
_SKIP_WORD = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE)
_SKIP_TRAILER = re.compile(r"^skip-checks:[ \t]*true[ \t]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What every event says: which delivery it is, and of which repository it speaks."""

    delivery: str
    path: str = ""
    forge_id: str = ""

    def event(self, kind: EventKind) -> Event:
        return Event(kind=kind, delivery=self.delivery, path=self.path, forge_id=self.forge_id)

    def ignored(self, why: str) -> Event:
        return replace(self.event(EventKind.IGNORED), why=why)

    def skipped(self, why: str, ref: str, commit: str, before: str) -> Event:
        """A push that is not built. Where it led is remembered, or the next look at the heads would build it."""
        return replace(self.ignored(why), ref=ref, commit=commit, before=before)

    def stopped(self, kind: EventKind, ref: str) -> Event:
        """A ref that is to be built no more."""
        self.needs_path()
        if not is_request_ref(ref) and not is_plain_ref(ref):
            return self.ignored("this is not a branch or a tag of a name that Kiln builds")
        return replace(self.event(kind), ref=ref)

    def needs_path(self) -> None:
        if not self.path:
            raise MalformedError("the payload does not name its repository")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A ref that moved. `after` is what it holds now, `commit` the commit that this leads to, if any."""

    ref: str
    before: object
    after: str
    commit: str | None
    message: str = ""
    author: object = ""
    commits: Sequence[payload.Fields] = ()  # that came with it, as far as they are listed, newest last
    commits_in_all: object = None  # how many, where that is said
    tag_message: object = ""
    changed: Callable[[], tuple[str, ...] | None] = lambda: None  # looked for only where it counts


def is_plain_ref(ref: str) -> bool:
    return is_ref(ref) and ref.isprintable()


def push(about: About, said: Push) -> Event:
    """Raises: MalformedError."""
    about.needs_path()
    if not is_plain_ref(said.ref):
        return about.ignored("this is not a branch or a tag of a name that Kiln builds")
    before = payload.before_of(said.before)
    if ZERO.fullmatch(said.after) is not None:
        return replace(about.stopped(EventKind.DELETED, said.ref), before=before)
    if said.commit is None:
        return about.ignored("the tag does not lead to a commit")
    commit = payload.commit_of(said.commit)
    if says_skip(said.message):
        return about.skipped("the commit's message asks to skip it", said.ref, commit, before)
    is_tag = said.ref.startswith("refs/tags/")
    return Event(
        kind=EventKind.TAG if is_tag else EventKind.PUSH,
        delivery=about.delivery,
        path=about.path,
        forge_id=about.forge_id,
        ref=said.ref,
        commit=commit,
        before=before,
        title=payload.line(said.message),
        author=payload.line(said.author),
        commits=listed(said.commits, said.commits_in_all),
        tag_message=payload.lines(said.tag_message, MAX_TAG_MESSAGE_CHARS) if is_tag else "",
        # A tag is built whole, and what a new branch holds was never looked at.
        changed=None if is_tag or not before else said.changed(),
    )


def request(about: About, ref: str, asked: Request, *, commit: str, before: object, title: object) -> Event:
    """The head of a request that wants to be built. Raises: MalformedError."""
    about.needs_path()
    if not is_request_ref(ref):
        raise MalformedError("the payload's request has no number")
    return replace(
        about.event(EventKind.REQUEST),
        ref=ref,
        commit=payload.commit_of(commit),
        before=payload.before_of(before),
        title=payload.line(title),
        request=asked,
    )


def says_skip(message: str) -> bool:
    trailers = message.rstrip().rpartition("\n\n")[2]
    return _SKIP_WORD.search(message) is not None or _SKIP_TRAILER.search(trailers) is not None


def listed(commits: Sequence[payload.Fields], in_all: object) -> tuple[tuple[str, str], ...] | None:
    """Commits with their titles, the newest of them; None when none are listed."""
    found = [(name, payload.line(each.get("message"))) for each in commits[-MAX_COMMITS:] if (name := _name(each))]
    count = in_all if isinstance(in_all, int) and 0 <= in_all <= payload.MAX_NUMBER else 0
    left = max(count, len(commits)) - len(found)
    rest = [("", f"{left} earlier commit{'s' * (left > 1)}")] if left > 0 else []
    return (*rest, *found) if found else None


def _name(commit: payload.Fields) -> str:
    name = commit.get("id")
    return name if isinstance(name, str) and is_commit(name) else ""


def touched(commits: Iterable[payload.Fields]) -> tuple[str, ...] | None:
    """The paths that these commits touch, sorted; None when they are not all known, or too many to keep."""
    paths: set[str] = set()
    size_bytes = 0
    for commit in commits:
        for kind in ("added", "modified", "removed"):
            names = commit.get(kind)
            if not isinstance(names, list):
                return None
            for name in names:
                if not isinstance(name, str) or not name:
                    return None
                if name not in paths:
                    paths.add(name)
                    try:
                        size_bytes += len(name.encode())
                    except UnicodeEncodeError:  # JSON can hold halves of characters, which no path has
                        return None
            if len(paths) > MAX_CHANGED_PATHS or size_bytes > MAX_CHANGED_BYTES:
                return None
    return tuple(sorted(paths))
