"""A million requests at the door that never were, in process, over the real records. A single 500 is a failure.

Every published delivery of both forges is changed in its bytes, its values, its headers or its address, signed again,
and sent to the hook of its repository or of its App. What is authentic is written to a database.
"""

import asyncio
import collections
import pathlib
import tempfile
import time

import sqlalchemy as sa

from service.adapters.schema import builds, deliveries
from tests.fakes.asgi import ask
from tests.fakes.door import NOW
from tests.fakes.mutations import APP, APP_SECRET, Asked, Mutator, origins, repositories
from tests.fakes.real_door import RealDoor, real_door

REQUESTS = 1_000_000
SHARED = pathlib.Path("/dev/shm")  # not the disk is under test
AT_ONCE = 64  # so that what is accepted is written together, as in a storm
MAY_ANSWER = {200, 202, 400, 401, 404, 405, 413, 415}


async def storm(door: RealDoor, mutator: Mutator, count: int) -> collections.Counter[int]:
    """How often each status was answered. Raises: AssertionError, with the request, at the first that may not be."""
    seen: collections.Counter[int] = collections.Counter()

    async def one(asked: Asked) -> None:
        reply = await ask(door.app, asked.method, asked.target, headers=asked.headers, body=asked.body)
        assert reply.status in MAY_ANSWER, (reply.status, reply.body, asked)
        seen[reply.status] += 1

    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(one(mutator.request()) for _ in range(min(AT_ONCE, count - start))))
    return seen


def main(requests: int = REQUESTS) -> None:
    found = origins()
    memory = SHARED if SHARED.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        real_door(pathlib.Path(folder), NOW, repositories(found)) as door,
    ):
        door.add_app(APP, APP_SECRET)
        began = time.monotonic()
        seen = asyncio.run(storm(door, Mutator(20260102, found, NOW), requests))
        seconds = time.monotonic() - began
        with door.engine.connect() as connection:
            counts = [
                connection.execute(sa.select(sa.func.count()).select_from(each)).scalar()
                for each in (deliveries, builds)
            ]
    print(f"fuzz: {requests} requests at the door in {seconds:.0f} s, {requests / seconds:.0f}/s")
    for status, count in sorted(seen.items()):
        print(f"  {status}  {count:>8}")
    print(f"  {counts[0]} deliveries recorded, {counts[1]} builds made of them, no answer of 500")
