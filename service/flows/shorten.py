"""Shorten: a device is sent what differs from the release that it runs, made once for all devices."""

from service.domain.errors import NotFoundError, TooLargeError
from service.domain.pack import NOTHING, VERSION, Diff, Kept, Opened, opened, pack
from service.domain.release import Bundle, ReleaseDigest
from service.domain.repository import RepositoryId
from service.flows.reading import exactly
from service.ports import Objects
from service.records import Builds, Packs

NO_PACK = Kept(digest="", size_bytes=0)


def check(older: ReleaseDigest, newer: ReleaseDigest, *, repository: RepositoryId, builds: Builds) -> None:
    """Raises: NotFoundError unless both are releases of this repository for one board."""
    boards = set()
    for each in (older, newer) if older != NOTHING else (newer,):
        bundle = builds.bundle(each)
        if builds.build(bundle.build).repository != repository:
            raise NotFoundError("no such release")
        boards.add(bundle.board)
    if len(boards) > 1:
        raise NotFoundError("no pack: these releases are for different boards")


def shorten(
    older: ReleaseDigest,
    newer: ReleaseDigest,
    version: int = VERSION,
    *,
    builds: Builds,
    objects: Objects,
    packs: Packs,
    diff: Diff,
) -> Kept:
    """Make the pack in this version of the format and keep it, or that there is none. Safe to repeat.

    Raises: NotFoundError, ObjectsError; AlteredError when storage does not hold what was published.
    """
    bundle = builds.bundle(newer)
    try:
        before = None if older == NOTHING else _opened(builds.bundle(older), objects)
        made = pack(older, before, _opened(bundle, objects), diff=diff, version=version)
    except TooLargeError:
        made = b""
    kept = NO_PACK
    if 0 < len(made) < bundle.size_bytes:
        stored = objects.put([made])
        kept = Kept(digest=stored.digest, size_bytes=stored.size_bytes)
    packs.keep(older, newer, version, kept)
    return kept


def _opened(bundle: Bundle, objects: Objects) -> Opened:
    return opened(exactly(objects, bundle.object_digest))
