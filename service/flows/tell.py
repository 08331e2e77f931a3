"""Tell: forges are told how builds stand. What changed is looked at again until what is shown is what is so.

A build never waits for this and never fails because of it.
"""

import datetime
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from service.domain.build import Build
from service.domain.errors import ForgeError, ForgeRefusedError, KilnError, NotFoundError
from service.domain.mark import KEPT_FOR_ENDS, LIFETIME, MAX_WRITES, Mark, Told, is_worth_telling, marks_of
from service.domain.pace import Line, pause_s
from service.forge import ForgeApi, Forges
from service.ports import Clock
from service.records import Builds, Marks, Repositories, Untold

logger = logging.getLogger("kiln.tell")

PAGE = 100  # builds that are looked at in one round


class Teller:
    """Only one may be at work on a database: writes to a forge follow each other in the order of what they say.

    What it keeps in memory is how each connection stands; a new one begins carefully. `chance` gives 0 to 1.
    """

    def __init__(
        self,
        *,
        marks: Marks,
        builds: Builds,
        repositories: Repositories,
        forges: Forges,
        clock: Clock,
        base_url: str,
        chance: Callable[[], float],
    ) -> None:
        self._marks = marks
        self._builds = builds
        self._repositories = repositories
        self._forges = forges
        self._clock = clock
        self._base_url = base_url
        self._chance = chance
        self._lines: dict[str, Line] = {}

    def tell(self) -> int:
        """Tell what is due and what the pace allows; how many marks were written."""
        now = self._clock.now()
        closed = [name for name, line in self._lines.items() if not line.is_open(now)]
        written = 0
        look_up = functools.cache(self._repositories.get)  # a hundred builds are often of one repository
        for untold in self._marks.untold(now=now, limit=PAGE, without=closed):
            try:
                repository = look_up(untold.build.repository)
            except NotFoundError:  # removed a moment ago
                continue
            line = self._lines.setdefault(repository.connection, Line(at=now))
            if not line.is_open(self._clock.now()):
                continue
            try:
                api = None if self._is_over(untold.build) else self._forges.api(repository)
            except KilnError as error:
                logger.warning("no way to the forge", extra={"repository": repository.id, "error": str(error)})
                self._lines[repository.connection] = line.failed(now, None, self._chance())
                continue
            if api is None:
                self._marks.settle(untold)
            else:
                written += self._tell(untold, api, repository.connection)
        return written

    def _is_over(self, build: Build) -> bool:
        """Whether a later build of the commit tells in its place, or nobody waits for a word any more."""
        if not self._marks.is_newest_of_commit(build):
            return True
        ended = build.finished_at
        # So that a repository which is connected later does not tell of all its past.
        return ended is not None and self._clock.now() - ended > LIFETIME and not self._marks.told(build.id)

    def _tell(self, untold: Untold, api: ForgeApi, connection: str) -> int:
        build, written = untold.build, 0
        told = self._marks.told(build.id)
        later = []
        for mark in self._wanted(build, told):
            old = told.get(mark.board, Told())
            now = self._clock.now()
            if old.next_at is not None and now < old.next_at:
                later.append(old.next_at)
                continue
            if not self._lines[connection].is_open(now):
                return written  # the rest of it when the line is open again
            new = self._put(mark, old, api, connection) if self._is_within(mark, build) else _kept_back(mark, old)
            self._marks.keep(build.id, mark.board, new)
            if new.next_at is not None:
                later.append(new.next_at)
            written += not new.error
        if later:
            self._marks.postpone(build.id, min(later))
        else:
            self._marks.settle(untold)
        return written

    def _wanted(self, build: Build, told: Mapping[str, Told]) -> list[Mark]:
        """What the forge does not show yet."""
        marks = marks_of(build, self._builds.jobs(build.id), base_url=self._base_url)
        worth = [each for each in marks if is_worth_telling(each, build, told.get(each.board))]
        return [each for each in worth if told.get(each.board, Told()).state != each.fingerprint]

    def _is_within(self, mark: Mark, build: Build) -> bool:
        most = MAX_WRITES if mark.state.is_final else MAX_WRITES - KEPT_FOR_ENDS
        return self._marks.writes(build, mark.board) < most

    def _put(self, mark: Mark, old: Told, api: ForgeApi, connection: str) -> Told:
        """What is known after the try. Only the forge's own trouble is tried again."""
        now = self._clock.now()
        self._lines[connection] = line = self._lines[connection].taken(now)
        counted = replace(old, writes=old.writes + 1)
        try:
            forge_id = api.put_mark(mark, old.forge_id)
        except ForgeRefusedError as error:
            self._lines[connection] = line.answered()
            logger.warning("mark refused", extra={**_about(mark), "error": str(error)})
            return _settled(counted, mark, error=f"the forge does not take our status: {error}")
        except ForgeError as error:
            self._lines[connection] = line.failed(now, error.retry_after_s, self._chance())
            return self._again(mark, counted, error, now)
        except Exception as error:
            # A fault of ours must not keep all later marks from being told.
            logger.exception("mark failed", extra=_about(mark))
            return self._again(mark, counted, error, now)
        self._lines[connection] = line.answered()
        return _settled(replace(counted, forge_id=forge_id), mark, error="")

    def _again(self, mark: Mark, old: Told, error: Exception, now: datetime.datetime) -> Told:
        since = old.since or now
        if now - since >= LIFETIME:
            logger.error("mark given up", extra={**_about(mark), "error": str(error)})
            return _settled(old, mark, error=f"given up after a day: {error}")
        tries = old.tries + 1
        next_at = now + datetime.timedelta(seconds=pause_s(tries, self._chance()))
        logger.warning("mark not taken", extra={**_about(mark), "error": str(error), "tries": tries})
        return replace(old, tries=tries, since=since, next_at=next_at, error=f"not told yet: {error}")


def _settled(old: Told, mark: Mark, *, error: str) -> Told:
    """Not looked at again until the build changes."""
    return replace(old, state=mark.fingerprint, tries=0, since=None, next_at=None, error=error)


def _kept_back(mark: Mark, old: Told) -> Told:
    logger.warning("mark kept back", extra=_about(mark))
    why = f"not told: GitHub takes {MAX_WRITES} statuses of one name beside a commit"
    return _settled(old, mark, error=why)


def _about(mark: Mark) -> dict[str, object]:
    return {"build": mark.build, "context": mark.context, "state": mark.state.value}
