"""Release notes: what was pushed since the release before, by the titles of its commits."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.build import is_tag
from service.domain.release import MAX_NOTES_BYTES

MAX_PUSHES = 500  # looked through for the notes of a release
MAX_TITLES = 500

Commits = tuple[tuple[str, str], ...]  # commit and title, newest last; without a commit: how many are not listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push or tag that was built, as far as notes are concerned."""

    number: int  # of its build
    ref: str
    commit: str
    title: str  # empty where it is not the commit's
    commits: Commits | None = None  # that came with it; None: not said
    tag_message: str = ""

    @property
    def is_tag(self) -> bool:
        return is_tag(self.ref)

    @property
    def brought(self) -> Commits:
        return self.commits or ((self.commit, self.title),)

    def has(self, commit: str) -> bool:
        return any(each == commit for each, _ in self.brought)


def notes(release: Push, before: Push | None, pushes: Sequence[Push]) -> str:
    """Of a release: a tag's message, and a line for each commit since the release before in its channel, newest first.

    `pushes` are those of its repository, oldest first. A tag brings no commits: they came with the branch it is on.
    Where nothing is new, as after a return to an older commit, its own title is told.
    """
    titles = [title for _, title in reversed(_since(release, before, pushes)) if title] or [release.title]
    return shortened(release.tag_message, [f"- {title}" for title in titles if title])


def shortened(head: str, lines: Sequence[str]) -> str:
    """As much as fits."""
    text = f"{head}\n\n" if head and lines else head
    for count, line in enumerate(lines):
        rest = f"- and {len(lines) - count} more"
        if count == MAX_TITLES or len(f"{text}{line}\n{rest}".encode()) > MAX_NOTES_BYTES:
            return f"{text}{rest}"
        text += f"{line}\n"
    return text.rstrip("\n")


def _since(release: Push, before: Push | None, pushes: Sequence[Push]) -> list[tuple[str, str]]:
    branch = _branch(release, pushes)
    own = [each for each in pushes if each.ref == branch]
    if release.is_tag:
        # The push of its branch may have come a moment after the push of the tag.
        last = next((place for place, each in enumerate(own) if each.has(release.commit)), len(own) - 1)
        own = own[: last + 1]
    else:
        own = [each for each in own if each.number <= release.number]
    known = before is not None and any(each.has(before.commit) for each in own)
    if before is not None and not known:
        own = [each for each in own if each.number > before.number]
    found = {commit or f"rest of {each.number}": title for each in own for commit, title in each.brought}
    found.setdefault(release.commit, release.title)
    items = list(found.items())
    return _between(items, before.commit if before is not None and known else "", release.commit)


def _branch(release: Push, pushes: Sequence[Push]) -> str:
    if not release.is_tag:
        return release.ref
    return next((each.ref for each in reversed(pushes) if not each.is_tag and each.has(release.commit)), release.ref)


def _between(items: list[tuple[str, str]], after: str, until: str) -> list[tuple[str, str]]:
    names = [name for name, _ in items]
    first = names.index(after) + 1 if after in names else 0
    return items[first : names.index(until) + 1]
