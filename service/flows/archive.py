"""Archive: all that one board needs to be one device, laid out as on the board, file by file."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.contract.board import Catalogue, UnknownBoardError
from service.domain import bundle, readme
from service.domain.archive import Entry
from service.domain.audit import Deed
from service.domain.build import Build, BuildJob
from service.domain.configuration import Configuration
from service.domain.device import Device, DeviceId
from service.domain.errors import AlteredError, NotFoundError
from service.domain.first_install import VERIFIED, Identity, NewBoard, Taken, place
from service.domain.flash import FlashFile
from service.domain.release import Bundle, Release, ReleaseDigest
from service.flows import flash
from service.flows.configure import living
from service.flows.credentials import token_of
from service.ports import Clock, FlashImages, Objects
from service.records import Audit, Builds, Configurations, Fleet

BOARD = "board"  # the folder that becomes the file system of the board


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an archive is made of. `where` is what devices are told of this Kiln now, `authority` the certificate (PEM)
    that they verify it by, if there is one.
    """

    builds: Builds
    fleet: Fleet
    configurations: Configurations
    objects: Objects
    audit: Audit
    clock: Clock
    catalogue: Catalogue
    images: FlashImages
    manifest: flash.ManifestOf
    agent: Callable[[], tuple[bundle.File, ...]]
    trust: Callable[[], Mapping[str, Any]]
    where: Mapping[str, Any]
    authority: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a board gets, decided once: an archive that is being sent does not change."""

    device: Device
    board: NewBoard
    settings: Mapping[str, Any] = field(repr=False)
    where: Mapping[str, Any]  # the line to this Kiln, as device.json has it
    release: Release | None  # None: nothing was ordered for it yet, or what was is withdrawn
    bundle: Bundle | None


def content_of(name: DeviceId, parts: Parts) -> Content:
    """Raises: NotFoundError, ConflictError for a retired device and for one whose token is not kept."""
    device, kept = living(name, parts.fleet), parts.configurations.get(name)
    secrets = kept.secrets
    said = {"id": device.id, "board": device.board, "repo": device.repository, "token": token_of(device, secrets)}
    if secrets.key:
        said["key"] = secrets.key.hex()
    settings = secrets.effective
    where = {**secrets.device, **parts.where, **({"tls": VERIFIED} if parts.authority else {})}
    release, signed = _running(device.desired, parts)
    own = {**where, **said}
    taken = _taken(device, kept, own) if signed else None
    identity = Identity(device=own, settings=settings, configuration=taken, authority=parts.authority)
    board = NewBoard(
        agent=parts.agent(),
        trust=parts.trust(),
        statement=signed.statement if signed else "",
        version=release.version if release else "",
        counter=release.counter if release else 0,
        identity=identity,
    )
    return Content(device=device, board=board, settings=settings, where=where, release=release, bundle=signed)


def _taken(device: Device, kept: Configuration, own: Mapping[str, Any]) -> Taken | None:
    """What its first order names beside the release, so that the board has nothing to fetch for it.

    None where there is nothing, or where it would lead a board from what its device.json says by now.
    """
    if not kept.digest or kept.digest != device.config:
        return None
    if any(own.get(name) != value for name, value in kept.secrets.device.items()):
        return None
    return Taken(digest=kept.digest, plain=kept.secrets.payload())


def _running(wanted: ReleaseDigest | None, parts: Parts) -> tuple[Release, Bundle] | tuple[None, None]:
    try:
        signed = parts.builds.bundle(wanted) if wanted else None
    except NotFoundError:  # it was removed with its build
        return None, None
    release = parts.builds.release(signed.build) if signed else None
    return (None, None) if signed is None or release is None or release.withdrawn_at else (release, signed)


def note(content: Content, what: str, parts: Parts, *, by: str) -> None:
    """Whoever fetches a device's credentials is written down, before they are sent."""
    device, now = content.device, parts.clock.now()
    version = content.release.version if content.release else "no release"
    deed = Deed(who=by, what=f"{what}.made", repository=device.repository, subject=device.id, detail=version)
    parts.audit.note(deed, now=now)
    parts.fleet.note(device.id, what, f"with credentials, {version}, by {by}", now=now)


def image_name(content: Content, parts: Parts) -> tuple[str, str]:
    """The name of the device's flash image; or none, and a sentence that says why."""
    board = content.device.board
    if not has_flash(board, parts.catalogue):
        return "", f"a board {board} is not flashed"
    try:
        build, job = _built(content, parts)
        name = flash.name_of(build, job, manifest=parts.manifest, images=parts.images)
    except NotFoundError as error:
        return "", str(error)
    return name, "" if name else "its build made no files"


def has_flash(board: str, catalogue: Catalogue) -> bool:
    """Whether there are flash images of such a board at all."""
    try:
        found = catalogue.board(board)
    except UnknownBoardError:
        return False
    return found.flash is not None and bool(found.flash.format)


def image_of(content: Content, parts: Parts) -> FlashFile:
    """Raises: NotFoundError with a sentence, ObjectsError."""
    name, why = image_name(content, parts)
    if not name:
        raise NotFoundError(f"there is no flash image of {content.device.id}: {why}")
    build, job = _built(content, parts)
    return flash.image_of(
        build, job, manifest=parts.manifest, images=parts.images, new_board=lambda _build, _job: content.board
    )


def _built(content: Content, parts: Parts) -> tuple[Build, BuildJob]:
    """What the release was made of. Raises: NotFoundError."""
    if content.bundle is None:
        raise NotFoundError("it has no release yet")
    build = parts.builds.build(content.bundle.build)
    job = next((each for each in parts.builds.jobs(build.id) if each.board == content.device.board), None)
    if job is None:
        raise NotFoundError(f"build {build.id} has no {content.device.board} any more")
    return build, job


def entries(content: Content, image: FlashFile | None, why: str, parts: Parts) -> Iterator[Entry]:
    """The archive, in an order that depends on its names alone. `why` says what keeps the flash image away.

    Raises while it is read: AlteredError, NotFoundError, ObjectsError.
    """
    folder = content.device.id
    files = sorted(_files(content, parts), key=lambda each: each[0].encode())  # first: it may not be there
    text = readme.text(
        device=folder,
        board=parts.catalogue.board(content.device.board),
        repository=content.device.repository,
        version=content.release.version if content.release else "",
        image=image.name if image else "",
        is_frozen=image is not None and image.has_agent,
        why=why,
        settings=content.settings,
        where=content.where,
        hold=content.device.hold,
    )
    yield Entry(path=f"{folder}/{readme.NAME}", chunks=(text.encode(),))
    if content.device.board != readme.VIRTUAL:
        script = readme.script(has_release=content.bundle is not None)
        yield Entry(path=f"{folder}/{readme.SCRIPT}", chunks=(script,), runs=True)
    for path, chunks in files:
        yield Entry(path=f"{folder}/{BOARD}/{path}", chunks=chunks)
    if image is not None:
        yield Entry(path=f"{folder}/{image.name}", chunks=image.chunks())


def _files(content: Content, parts: Parts) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Path and content of every file of the board. Those of the release are read when they are wanted."""
    signed, objects = content.bundle, parts.objects
    if signed is None:
        yield from ((path, iter((each,))) for path, each in content.board.around(b"").items())
        return
    start = len(bundle.MAGIC) + len(signed.statement) + 1
    at = start + bundle.index_bytes(signed.statement)
    index = b"".join(objects.read(signed.object_digest, start=start, stop=at))
    yield from ((path, iter((each,))) for path, each in content.board.around(index).items())
    for line in bundle.lines(signed.statement, index):
        yield place(line.path), _file(signed, line, at, objects)
        at += line.size_bytes


def _file(signed: Bundle, line: bundle.Listed, at: int, objects: Objects) -> Iterator[bytes]:
    """A file of the bundle, if it is still the one that was signed; what was sent of it before the end is void."""
    digest = hashlib.sha256()
    for chunk in objects.read(signed.object_digest, start=at, stop=at + line.size_bytes) if line.size_bytes else ():
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != line.digest:
        raise AlteredError(f"{line.path} of a stored bundle is not what was signed: somebody changed it")
