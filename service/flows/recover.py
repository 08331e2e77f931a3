"""Recover: pushes whose delivery was lost are found all the same, and webhooks are looked after."""

import datetime
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from service.domain.build import Delivery
from service.domain.errors import ForgeRefusedError
from service.domain.event import FOUND, QUEUE_REFS, Event, EventKind, RepositoryChange, is_commit, is_ref
from service.domain.hook import Hook, HookState
from service.domain.repository import Repository, RepositoryId
from service.forge import ForgeApi, HookTarget
from service.ports import Clock, Sources
from service.records import Builds, Noted, Repositories

logger = logging.getLogger("kiln.recover")

MAX_FOUND = 100  # builds that one look may lead to; the next look goes on
OVERLAP = datetime.timedelta(hours=2)  # a delivery may fail a while after it was made
KEPT = datetime.timedelta(days=7)  # by GitLab; GitHub sends again what is 3 days old at most
MAX_DIGITS = 18  # of a number in a name that is compared by its value
_NUMBERS = re.compile(r"([0-9]+)")
_BROKEN = frozenset({HookState.MISSING, HookState.DISABLED, HookState.UNREACHABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the forge's API said about pushes, before the heads were looked at."""

    is_unchanged: bool = False  # nothing was pushed since the last look
    etag: str = ""  # to ask with next time; empty: it did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What recovering takes. `new_id` gives an id that no delivery ever had."""

    repositories: Repositories
    builds: Builds
    sources: Sources
    clock: Clock
    base_url: str
    new_id: Callable[[], str]
    max_found: int = MAX_FOUND

    def check_hook(self, repository: Repository, api: ForgeApi) -> Hook:
        """Look at the webhook and keep what was seen. Raises: ForgeError."""
        old = self.repositories.hook(repository.id)
        target = HookTarget(url=f"{self.base_url}/hooks/{repository.id}", secret=repository.secret)
        now = self.clock.now()
        try:
            seen = api.check_hook(target, old.id)
        except ForgeRefusedError as error:
            fields = {"state": HookState.UNKNOWN, "detail": f"the forge does not show it: {error}"}
            new = self.repositories.keep_hook(repository.id, checked_at=now, **fields)
        else:
            new = self.repositories.keep_hook(
                repository.id, id=seen.id or old.id, state=seen.state, detail=seen.detail, checked_at=now
            )
        _log_hook(repository.id, old, new)
        return new

    def redeliver(self, repository: Repository, api: ForgeApi) -> int:
        """Have failed deliveries sent again; how many. Safe to repeat. Raises: ForgeError, ForgeRefusedError."""
        hook, now = self.repositories.hook(repository.id), self.clock.now()
        since = max(hook.recovered_at - OVERLAP, now - KEPT) if hook.recovered_at else now - KEPT
        count = api.redeliver_failed(hook.id, since)
        self.repositories.keep_hook(repository.id, recovered_at=now)
        if count:
            logger.info("deliveries sent again", extra={"repository": repository.id, "count": count})
        return count

    def ask(self, repository: Repository, api: ForgeApi) -> Asked:
        """A question that costs nothing at the forge while nothing happens. Raises: ForgeError, ForgeRefusedError."""
        known = self.repositories.hook(repository.id).etag
        same, etag = api.unchanged(known)
        return Asked(is_unchanged=same and known != "", etag=etag)

    def locate(self, repository: Repository, api: ForgeApi) -> Repository:
        """The record, as it is after a move whose delivery was lost.

        An address that was left is anybody's to take: what is there now must not be built in our repository's name.
        Raises: ForgeRefusedError when it is another repository, or is not shown; ForgeError.
        """
        if not repository.forge_id:
            return repository
        remote = api.describe()
        if remote.forge_id != repository.forge_id:
            raise ForgeRefusedError(f"{repository.path} is another repository than the one that is followed")
        if remote.path.lower() == repository.path.lower():
            return repository
        event = Event(
            kind=EventKind.CHANGED,
            delivery=self.new_id(),
            path=remote.path,
            forge_id=remote.forge_id,
            change=RepositoryChange.MOVED,
        )
        self.builds.accept([Delivery(repository=repository.id, event=event)], now=self.clock.now())
        return self.repositories.get(repository.id)

    def reconcile(self, repository: Repository, asked: Asked) -> int:
        """Build what moved, and stop what vanished, without a delivery; how many builds came of it. Safe to repeat.

        The first look at a repository only notes what is there: it was there before. The forge is asked before its
        heads are read, so that a push between the two is seen next time. Raises: SourceError, BadInputError.
        """
        hook, now = self.repositories.hook(repository.id), self.clock.now()
        if asked.is_unchanged and not hook.is_doubtful:
            self.repositories.keep_hook(repository.id, etag=asked.etag, reconciled_at=now)
            return 0
        if hook.is_doubtful:  # before looking: a doubt that is raised meanwhile stays
            self.repositories.keep_hook(repository.id, is_doubtful=False)
        try:
            made, is_whole = self._look(repository, is_first=hook.reconciled_at is None)
        except Exception:
            if hook.is_doubtful:
                self.repositories.keep_hook(repository.id, is_doubtful=True)
            raise
        self.repositories.keep_hook(repository.id, etag=asked.etag if is_whole else "", reconciled_at=now)
        return made

    def _look(self, repository: Repository, *, is_first: bool) -> tuple[int, bool]:
        """How many builds were made, and whether all was looked at."""
        # Ours are read before theirs: what is built meanwhile then differs from `before`, and our event is void.
        built = self.builds.heads(repository.id)
        known = {**built, **_counting(self.repositories.noted(repository.id), built)}
        open_refs = self.builds.open_refs(repository.id)
        heads = {ref: commit for ref, commit in self.sources.heads(repository).items() if is_followed(ref, commit)}
        if is_first:
            fresh = {ref: commit for ref, commit in heads.items() if ref not in built}
            self.repositories.note(repository.id, {ref: Noted(commit=commit) for ref, commit in fresh.items()})
            known |= fresh
        moved = _ordered(
            [ref for ref, commit in heads.items() if commit not in (known.get(ref), built.get(ref))],
            repository.default_branch,
        )
        if len(moved) > self.max_found:
            about = {"repository": repository.id, "moved": len(moved), "limit": self.max_found}
            logger.warning("more refs moved than one look builds", extra=about)
        events = [self._found(repository, ref, heads[ref], built.get(ref) or known.get(ref, "")) for ref in moved]
        gone = [self._gone(repository, ref, built[ref]) for ref in open_refs if is_gone(ref, heads) and ref in built]
        return self._accept(repository.id, gone + events[: self.max_found]), len(moved) <= self.max_found

    def _accept(self, name: RepositoryId, events: Collection[Event]) -> int:
        if not events:
            return 0
        taken = self.builds.accept([Delivery(repository=name, event=each) for each in events], now=self.clock.now())
        made = sum(each.is_new and each.build is not None for each in taken)
        logger.info("refs moved without a delivery", extra={"repository": name, "refs": len(events), "builds": made})
        return made

    def _found(self, repository: Repository, ref: str, commit: str, before: str) -> Event:
        return Event(
            kind=EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH,
            delivery=self.new_id(),
            path=repository.path,
            forge_id=repository.forge_id,
            ref=ref,
            commit=commit,
            before=before,
            title=FOUND,
            is_found=True,
        )

    def _gone(self, repository: Repository, ref: str, before: str) -> Event:
        return Event(
            kind=EventKind.DELETED,
            delivery=self.new_id(),
            path=repository.path,
            forge_id=repository.forge_id,
            ref=ref,
            before=before,
        )


def is_followed(ref: str, commit: str) -> bool:
    """Whether a head that git lists is one that a push of it would have built."""
    return is_ref(ref) and ref.isprintable() and is_commit(commit) and not ref.startswith(QUEUE_REFS)


def is_gone(ref: str, heads: Mapping[str, str]) -> bool:
    """Requests and GitHub's merge queue have refs of their own, which are not in the list of heads."""
    return ref.startswith(("refs/heads/", "refs/tags/")) and not ref.startswith(QUEUE_REFS) and ref not in heads


def _ordered(refs: Collection[str], default_branch: str) -> list[str]:
    """The default branch, other branches, tags; v1.9 before v1.10, for the last one built is what its channel gets."""
    return sorted(
        refs,
        key=lambda ref: (ref != f"refs/heads/{default_branch}", ref.startswith("refs/tags/"), _natural(ref)),
    )


def _natural(ref: str) -> list[tuple[int, str]]:
    """Numbers within a name by their value."""
    parts = _NUMBERS.split(ref)
    return [(int(part[:MAX_DIGITS]), "") if part.isdecimal() else (-1, part) for part in parts]


def _counting(noted: Mapping[str, Noted], built: Mapping[str, str]) -> dict[str, str]:
    """The notes that nothing was built after."""
    return {ref: each.commit for ref, each in noted.items() if each.built == built.get(ref, "")}


def _log_hook(name: RepositoryId, old: Hook, new: Hook) -> None:
    about = {"repository": name, "state": new.state.value, "detail": new.detail}
    if new.state in _BROKEN:
        logger.warning("webhook broken", extra=about)
    elif new.state is HookState.REPAIRED or new.state is not old.state:
        logger.info("webhook looked at", extra=about)
