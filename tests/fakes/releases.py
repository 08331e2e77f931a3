"""Bundles and desired states for device tests, made by the letter of docs/ota.md."""

import hashlib
from dataclasses import dataclass
from typing import Any

from tests.fakes.signing import Signer, director_key, release_key

NEVER = 4102444800  # 2100-01-01, Unix seconds


@dataclass(frozen=True)
class FakeRelease:
    """A bundle and what the director says about it."""

    bundle: bytes
    statement: bytes
    counter: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.statement).hexdigest()

    @property
    def blobs_at(self) -> int:
        """Where the file bytes begin."""
        return self.bundle.index(b"\n", len(b"KILN1\n") + len(self.statement) + 1) + 1


def index_of(files: dict[str, bytes]) -> bytes:
    lines = (
        f"{hashlib.sha256(content).hexdigest()} {len(content)} {path}\n" for path, content in sorted(files.items())
    )
    return "".join(lines).encode()


def statement_of(files: dict[str, bytes], index: bytes) -> dict[str, Any]:
    return {
        "v": 1,
        "type": "release",
        "repo": "local/blink",
        "name": "blink",
        "commit": "c" * 40,
        "version": "1.0.0",
        "counter": 1,
        "board": "unix",
        "mpy": 0,
        "arch": 0,
        "files": len(files),
        "size": sum(map(len, files.values())),
        "index": {"sha256": hashlib.sha256(index).hexdigest(), "size": len(index)},
    }


def make_release(
    files: dict[str, bytes],
    *,
    index: bytes | None = None,
    blobs: bytes | None = None,
    key: Signer | None = None,
    claims: dict[str, Any] | None = None,
    **more_claims: Any,
) -> FakeRelease:
    """A signed bundle; claims go into the statement, `index` and `blobs` replace the true ones."""
    true_index = index_of(files) if index is None else index
    payload = {**statement_of(files, true_index), **(claims or {}), **more_claims}
    jws = (key or release_key()).sign(payload)
    body = b"".join(files[path] for path in sorted(files)) if blobs is None else blobs
    bundle = b"KILN1\n" + jws + b"\n" + true_index + body
    return FakeRelease(bundle=bundle, statement=jws, counter=payload["counter"])


def desired_for(release: FakeRelease, *, seq: int, **changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "type": "desired",
        "device": "d1",
        "seq": seq,
        "release": release.digest,
        "size": len(release.bundle),
        "counter": release.counter,
        "expires": NEVER,
        **changes,
    }


def sign_desired(release: FakeRelease, *, seq: int, key: Signer | None = None, **changes: Any) -> bytes:
    return (key or director_key()).sign(desired_for(release, seq=seq, **changes))
