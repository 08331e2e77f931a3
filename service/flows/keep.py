"""Keep: whose turn it is to be recovered. One repository after the other, so that nobody is asked for much at once."""

import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from service.domain.errors import ForgeError, KilnError
from service.domain.pace import Line, pause_s
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows.recover import Asked, Recovery
from service.forge import ForgeApi, Forges
from service.ports import Clock
from service.records import Repositories

logger = logging.getLogger("kiln.keep")
_T = TypeVar("_T")

HOOKS_EVERY_S = 3600.0
HOOKS_AGAIN_S = 60.0  # when the connection must not be used now
LATEST = 1.25  # of a turn's time: by chance
HOOKS_AFTER_S = 5.0  # after the start, when the door is open for what is sent again


@dataclass(slots=True)
class _Turn:
    """When a repository is next looked at."""

    heads_at: datetime.datetime
    hooks_at: datetime.datetime
    failures: int = 0
    not_before: datetime.datetime | None = None  # whatever doubts there are: it did not answer
    is_seen: bool = False  # since the start


class Keeper:
    """All repositories at the start, then each on its schedule, doubtful ones at once. `chance` gives 0 to 1."""

    def __init__(
        self,
        recovery: Recovery,
        *,
        repositories: Repositories,
        forges: Forges,
        clock: Clock,
        every_s: float,
        chance: Callable[[], float],
    ) -> None:
        self._recovery = recovery
        self._repositories = repositories
        self._forges = forges
        self._clock = clock
        self._every_s = every_s
        self._chance = chance
        self._began_at = clock.now()
        self._turns: dict[RepositoryId, _Turn] = {}
        self._lines: dict[str, Line] = {}

    def look(self) -> bool:
        """Look at one repository whose turn has come; whether there are more."""
        now = self._clock.now()
        doubtful = set(self._repositories.doubtful())
        known = self._repositories.all()
        self._turns = {each.id: self._turns.get(each.id) or self._new() for each in known}
        due = [each for each in known if self._is_due(each, now, is_doubtful=each.id in doubtful)]
        if not due:
            return False
        # A doubt is somebody who waits for a build; then who waited longest.
        one = min(due, key=lambda each: (each.id not in doubtful, self._turns[each.id].heads_at))
        self._visit(one, now, is_doubtful=one.id in doubtful)
        return len(due) > 1

    def _new(self) -> _Turn:
        begin = self._began_at + datetime.timedelta(seconds=HOOKS_AFTER_S)
        return _Turn(heads_at=self._began_at, hooks_at=begin)

    def _is_due(self, repository: Repository, now: datetime.datetime, *, is_doubtful: bool) -> bool:
        turn = self._turns[repository.id]
        if _has_hook(repository) and _is_come(turn.hooks_at, now, HOOKS_EVERY_S):
            return True
        is_silent = turn.not_before is not None and not _is_come(turn.not_before, now, self._every_s)
        return (is_doubtful or _is_come(turn.heads_at, now, self._every_s)) and not is_silent

    def _visit(self, repository: Repository, now: datetime.datetime, *, is_doubtful: bool) -> None:
        turn = self._turns[repository.id]
        api = self._api(repository, now)
        # The heads first: when deliveries are sent again, the newest of each ref is known already.
        if is_doubtful or _is_come(turn.heads_at, now, self._every_s):
            self._heads(repository, api, turn)
        if _has_hook(repository) and _is_come(turn.hooks_at, now, HOOKS_EVERY_S):
            turn.hooks_at = self._later(HOOKS_EVERY_S if api is not None else HOOKS_AGAIN_S)
            if api is not None:
                self._try(repository, "webhook not looked at", lambda: self._recovery.check_hook(repository, api))
                self._try(repository, "deliveries not sent again", lambda: self._recovery.redeliver(repository, api))

    def _heads(self, repository: Repository, api: ForgeApi | None, turn: _Turn) -> None:
        asked = Asked()
        if api is not None:
            said = self._try(repository, "forge not asked for pushes", lambda: self._recovery.ask(repository, api))
            asked = said or asked
        if not turn.is_seen:  # after a start the heads themselves are looked at, whatever the forge says
            asked = replace(asked, is_unchanged=False)
        made = self._try(repository, "heads not looked at", lambda: self._look_at(repository, api, asked))
        if made is not None:
            turn.failures, turn.not_before, turn.is_seen = 0, None, True
            turn.heads_at = self._later(self._every_s)
        else:
            turn.failures += 1
            wait_s = pause_s(turn.failures, self._chance(), most_s=self._every_s)
            turn.not_before = turn.heads_at = self._clock.now() + datetime.timedelta(seconds=wait_s)

    def _look_at(self, repository: Repository, api: ForgeApi | None, asked: Asked) -> int:
        if api is not None and not asked.is_unchanged:
            try:
                repository = self._recovery.locate(repository, api)
            except ForgeError as error:  # its git may answer all the same
                self._say(repository, "forge not asked where it is", error)
        return self._recovery.reconcile(repository, asked)

    def _later(self, every_s: float) -> datetime.datetime:
        """A quarter sooner or later, so that not all are looked at in the same moment for ever."""
        return self._clock.now() + datetime.timedelta(seconds=every_s * (0.75 + self._chance() / 2))

    def _api(self, repository: Repository, now: datetime.datetime) -> ForgeApi | None:
        """None while its connection must not be used."""
        line = self._lines.get(repository.connection)
        if line is not None and not line.is_up(now):
            return None
        try:
            return self._forges.api(repository)
        except KilnError as error:
            self._say(repository, "no way to the forge", error)
            return None

    def _try(self, repository: Repository, what: str, act: Callable[[], _T]) -> _T | None:
        """What it answered; None when it failed, which is said in the log."""
        try:
            return act()
        except ForgeError as error:
            now = self._clock.now()
            line = self._lines.get(repository.connection, Line(at=now))
            self._lines[repository.connection] = line.failed(now, error.retry_after_s, self._chance())
            self._say(repository, what, error)
        except KilnError as error:
            self._say(repository, what, error)
        except Exception:
            # A fault of ours with one repository must not keep the others from being looked at.
            logger.exception(what, extra={"repository": repository.id})
        return None

    def _say(self, repository: Repository, what: str, error: KilnError) -> None:
        logger.warning(what, extra={"repository": repository.id, "error": str(error)})


def _is_come(at: datetime.datetime, now: datetime.datetime, every_s: float) -> bool:
    """Whether that moment is here. One that is further off than any turn was set before the clock was set back."""
    return at <= now or at - now > datetime.timedelta(seconds=max(every_s, HOOKS_AFTER_S) * LATEST)


def _has_hook(repository: Repository) -> bool:
    """One that can be looked at: plain git has no API, whatever we sign in to it with."""
    return repository.is_connected and repository.forge is not Forge.LOCAL
