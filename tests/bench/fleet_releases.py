"""What the devices of a bench hold in their flash: releases of which every byte was checked."""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes import packs
from tests.fakes.releases import index_of

NONE = "-"  # what a pack starts from where no release runs


@dataclass(frozen=True, kw_only=True)
class Held:
    statement: bytes  # as it was signed
    index: bytes
    files: dict[str, bytes]
    says: dict[str, Any]


class Releases:
    """The same bytes are opened once: ten thousand devices have processors of their own.

    `verified` answers the payload of what the release key signed, and raises ValueError.
    """

    def __init__(self, verified: Callable[[bytes], dict[str, Any]]) -> None:
        self._verified = verified
        self._held: dict[str, Held] = {}
        self._seen: set[tuple[str, str, bytes]] = set()

    def of_bundle(self, bundle: bytes, digest: str) -> dict[str, Any]:
        """What its statement says. Raises: ValueError."""
        return self._once(("bundle", digest, bundle), lambda: _opened(bundle, self._verified))

    def of_pack(self, packed: bytes, older: str, digest: str) -> dict[str, Any]:
        """The same of a pack that starts from a release which was opened before, or from none. Raises: ValueError."""
        return self._once((older, digest, packed), lambda: self._unpacked(packed, older))

    def _once(self, key: tuple[str, str, bytes], opened: Callable[[], Held]) -> dict[str, Any]:
        digest = key[1]
        if key not in self._seen:
            held = opened()
            if hashlib.sha256(held.statement).hexdigest() != digest:
                raise ValueError("not the release that was ordered")
            if hashlib.sha256(held.index).hexdigest() != held.says["index"]["sha256"]:
                raise ValueError("not the index that was signed")
            if index_of(held.files) != held.index:
                raise ValueError("not the files that were signed")
            self._held[digest] = held
            self._seen.add(key)
        return self._held[digest].says

    def _unpacked(self, packed: bytes, older: str) -> Held:
        base = Held(statement=b"", index=b"", files={}, says={}) if older == NONE else self._held.get(older)
        if base is None:
            raise ValueError("no pack: nobody opened what it starts from")
        try:
            found = packs.read(packed, base.files, base.index, base.statement or None)
        except (AssertionError, LookupError, ValueError, zlib.error) as error:
            raise ValueError(f"no pack: {error!r}") from error
        says = self._verified(found.statement)
        return Held(statement=found.statement, index=index_of(found.files), files=found.files, says=says)


def _opened(bundle: bytes, verified: Callable[[bytes], dict[str, Any]]) -> Held:
    magic, statement, rest = bundle.split(b"\n", 2)
    if magic != b"KILN1":
        raise ValueError("no bundle")
    says = verified(statement)
    at = says["index"]["size"]
    index, files = rest[:at], {}
    for line in index.decode().splitlines():
        _, length, path = line.split(" ", 2)
        files[path], at = rest[at : at + int(length)], at + int(length)
    if at != len(rest):
        raise ValueError("something follows the last file")
    return Held(statement=statement, index=index, files=files, says=says)
