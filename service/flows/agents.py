"""Agents: the update agent that this Kiln carries becomes a signed release."""

import hashlib
from collections.abc import Callable, Iterable

from runners.contract.paths import complaint
from service.domain import agent, bundle
from service.domain.agent import AgentRelease
from service.domain.errors import BadInputError
from service.domain.release import ReleaseDigest
from service.domain.root import signer_of
from service.ports import Clock, Keys, Objects
from service.records import Agents


def release(
    *,
    agents: Agents,
    objects: Objects,
    keys: Keys,
    clock: Clock,
    compiled: Callable[[], list[bundle.File]],
    version: str,
) -> AgentRelease:
    """The release of the carried agent, made if the newest is of other files or by a revoked key. Safe to repeat.

    Raises: NotFoundError when the compiler is missing; ConflictError when two make one at the same moment.
    """
    files = compiled()
    index = _index(files)
    newest = agents.newest()
    is_held = newest is not None and keys.root().holds("release", signer_of(newest.statement))
    if newest is not None and is_held and newest.index_digest == index.digest:
        return newest
    counter = newest.counter + 1 if newest else 1
    statement = keys.sign("release", _statement(index, counter, version).payload())
    stored = objects.put(bundle.pack(statement, index, files))
    made = AgentRelease(
        digest=ReleaseDigest(hashlib.sha256(statement.encode()).hexdigest()),
        counter=counter,
        version=version,
        index_digest=index.digest,
        statement=statement,
        object_digest=stored.digest,
        size_bytes=stored.size_bytes,
        created_at=clock.now(),
    )
    agents.add(made)
    return made


def _index(files: Iterable[bundle.File]) -> bundle.Index:
    found = list(files)
    inside = [each.path.removeprefix("ota/") for each in found]
    if "__init__.mpy" not in inside or any("/" in path for path in inside):
        raise BadInputError("an agent has ota/__init__.mpy, and nothing outside ota/")
    if said := complaint(inside):
        raise BadInputError(said)
    return bundle.listed(found)


def _statement(index: bundle.Index, counter: int, version: str) -> bundle.Statement:
    return bundle.Statement(
        type="agent",
        repo=agent.REPOSITORY,
        name=agent.NAME,
        commit=index.digest,
        version=version,
        counter=counter,
        board=agent.BOARD,
        mpy=agent.MPY,
        arch=0,
        index=index,
    )
