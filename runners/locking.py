"""`kiln lock`: resolve what `kiln.toml` asks for, and write `kiln.lock`. And what of it `kiln build` takes."""

import pathlib
from collections.abc import Iterator, Mapping

from runners import artifacts
from runners.contract.board import Catalogue
from runners.contract.dependencies import LOCK, Lock, LockError, Package, changes, locked
from runners.contract.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest
from runners.contract.table import ManifestError
from runners.direct import Cache
from runners.errors import RefusedError
from runners.mip import Get, Resolver


def lock_folder(folder: pathlib.Path, *, get: Get, index: str, catalogue: Catalogue) -> Iterator[str]:
    """Write the lock of a repository, or remove it where nothing is asked for; yields lines for people.

    Raises: ManifestError, RefusedError, TransportError. The lock is then as it was.
    """
    manifest = Manifest.parse(
        _manifest(folder),
        default_name=folder.resolve().name,
        catalogue=catalogue,
        read=lambda path: _other(folder / path),
    )
    place = folder / LOCK
    before = place.read_bytes() if place.is_file() else b""
    lock = Resolver(get, index).resolve(manifest.dependencies)
    after = lock.to_bytes() if manifest.dependencies else b""
    if after == before:
        yield f"{LOCK} is up to date" if after else f"{MANIFEST} has no [dependencies]: there is nothing to lock"
        return
    try:
        if after:
            made = place.with_name(f"{LOCK}.new")
            made.write_bytes(after)
            made.replace(place)
        else:
            place.unlink()
    except OSError as error:
        raise RefusedError(f"{place} cannot be written: {error.strerror}") from error
    yield from changes(_packages(before), lock.packages)
    yield f"{LOCK}: {_amount(lock)}. Commit it." if after else f"{LOCK} is removed: nothing is asked for"


def packed(manifest: Manifest, files: Mapping[str, bytes | None], cache: Cache) -> bytes | None:
    """The tar of what a build in this folder depends on; None when nothing. Raises: as `locked` and `Cache.content`."""
    lock = locked(manifest.dependencies, files.get(LOCK))
    if lock is None or not lock.files:
        return None
    return artifacts.pack({each.path: cache.content(each) for each in lock.files})


def _manifest(folder: pathlib.Path) -> str:
    place = folder / MANIFEST
    try:
        if place.stat().st_size > MAX_MANIFEST_BYTES:
            raise ManifestError(f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")
        return place.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{place} cannot be read: {error}") from error


def _other(place: pathlib.Path) -> str | None:
    """A file that the manifest refers to; None when it is not there, or no text of a size that is read."""
    try:
        return place.read_text("utf-8") if place.stat().st_size <= MAX_MANIFEST_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _packages(before: bytes) -> tuple[Package, ...]:
    try:
        return Lock.parse(before).packages
    except LockError:
        return ()  # there was none, or a broken one


def _amount(lock: Lock) -> str:
    counts = ((len(lock.packages), "package"), (len(lock.files), "file"))
    said = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    return f"{said}, {sum(each.size_bytes for each in lock.files)} bytes"
