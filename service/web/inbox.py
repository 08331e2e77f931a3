"""Group commit: the deliveries that arrive together are made durable together.

SQLite has one writer and each commit waits for the disk; one transaction for all that came while the last one
was written gives every sender the same promise at a fraction of the price.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from service.domain.build import Delivery, Taken
from service.domain.errors import KilnError, OutsideError
from service.domain.event import Event
from service.domain.repository import Repository
from service.ports import Accepted

logger = logging.getLogger("kiln.inbox")

MAX_BATCH = 64  # deliveries in one transaction: bounds how long the first of them waits
MAX_WAITING = 2048  # deliveries; more than the disk can take is refused, and the forge sends it again

Accept = Callable[[Sequence[Delivery]], list[Taken]]
_Waiting = tuple[Delivery, "asyncio.Future[Taken]"]


class Inbox:
    """Called by many requests at once; writes from one thread."""

    def __init__(self, accept: Accept, *, base_url: str) -> None:
        self._accept = accept
        self._base_url = base_url
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inbox")

    async def accept(self, repository: Repository, event: Event) -> Accepted:
        """Returns once the delivery is durable. Raises: OutsideError when it could not be written."""
        if len(self._waiting) >= MAX_WAITING:
            raise OutsideError("too many deliveries at once; send it again")
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((Delivery(repository=repository.id, event=event), future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        taken = await future
        return Accepted(
            build_id="" if taken.build is None else str(taken.build),
            build_url="" if taken.build is None else f"{self._base_url}/builds/{taken.build}",
            is_new=taken.is_new,
            said=taken.said,
        )

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            await self._write_batch(batch)

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        deliveries = [delivery for delivery, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._accept, deliveries)
        except Exception as error:  # every sender must be answered, whatever broke
            logger.exception("deliveries not written", extra={"count": len(batch)})
            for _, future in batch:
                if not future.done():
                    future.set_exception(
                        error if isinstance(error, KilnError) else OutsideError("could not be written; send it again")
                    )
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():  # its sender may have gone
                future.set_result(answer)
