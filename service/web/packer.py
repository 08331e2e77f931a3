"""Packs on demand: of the same two releases once at a time, and one after the other, beside the event loop."""

import asyncio
import logging
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from service.domain.errors import KilnError, NotFoundError
from service.domain.pack import VERSION, Kept
from service.domain.release import ReleaseDigest

logger = logging.getLogger("kiln.packs")

MAX_WAITING = 32  # packs that are to be made; for another one a device takes the bundle
WAIT_S = 5.0  # a device counts ten seconds of silence as a broken line; the pack is made all the same

_Wanted = tuple[ReleaseDigest, ReleaseDigest, int]


class Packer:
    """`find` and `make` work in threads: `service.records.Packs.find`, `service.flows.shorten.shorten`."""

    def __init__(
        self,
        find: Callable[[ReleaseDigest, ReleaseDigest, int], Kept | None],
        make: Callable[[ReleaseDigest, ReleaseDigest, int], Kept],
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        self._find = find
        self._make = make
        self._wait_s = wait_s
        self._turn = asyncio.Semaphore(1)
        self._made: dict[_Wanted, asyncio.Task[Kept]] = {}

    async def get(self, older: ReleaseDigest, newer: ReleaseDigest, version: int = VERSION) -> Kept:
        """A pack that there is, in this version of the format.

        Raises: NotFoundError when there is none, or none yet: then the bundle is taken.
        """
        kept = await run_in_threadpool(self._find, older, newer, version)
        if kept is None:
            kept = await self._wait((older, newer, version))
        if not kept.digest:
            raise NotFoundError("no pack: the bundle is not larger")
        return kept

    async def _wait(self, wanted: _Wanted) -> Kept:
        task = self._made.get(wanted)
        if task is None:
            if len(self._made) >= MAX_WAITING:
                raise NotFoundError("no pack now: too many are to be made")
            task = self._made[wanted] = asyncio.create_task(self._in_turn(wanted))
            task.add_done_callback(lambda done: self._ended(wanted, done))
        try:
            # Shielded: whoever hangs up must not stop what others wait for.
            return await asyncio.wait_for(asyncio.shield(task), self._wait_s)
        except TimeoutError:
            raise NotFoundError("no pack yet: it is being made") from None
        except KilnError as error:  # the bundle may be whole
            raise NotFoundError("no pack: it could not be made") from error

    async def _in_turn(self, wanted: _Wanted) -> Kept:
        async with self._turn:
            # Whoever looked before it was kept, and came here after it was made, needs no other one.
            kept = await run_in_threadpool(self._find, *wanted)
            return kept if kept is not None else await run_in_threadpool(self._make, *wanted)

    def _ended(self, wanted: _Wanted, task: asyncio.Task[Kept]) -> None:
        del self._made[wanted]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            said = {"older": wanted[0], "newer": wanted[1], "error": type(error).__name__, "reason": str(error)}
            logger.warning("no pack made", extra=said)
