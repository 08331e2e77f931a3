import hashlib
from dataclasses import dataclass, field
from typing import Any, Self

from runners.contract import cache
from runners.contract.job import Blob, Result
from runners.errors import TransportError


@dataclass
class KeptLog:
    """`runners.run.Log`."""

    content: bytearray = field(default_factory=bytearray)
    is_closed: bool = False

    def write(self, content: bytes) -> None:
        self.content += content

    def end(self) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


@dataclass
class InMemoryService:
    """`runners.run.Service`, as a dictionary of addresses."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    logs: dict[str, KeptLog] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # cache key -> kept result
    is_away: bool = False

    def offer(self, content: bytes) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[f"/{digest}"] = content
        return Blob(url=f"/{digest}", digest=digest, size_bytes=len(content))

    def fetch(self, blob: Blob) -> bytes:
        if self.is_away:
            raise TransportError("GET: nobody answers")
        return self.blobs[blob.url]

    def cached(self, url: str, key: str, *, job: str) -> Result | None:
        return cache.taken(self.results[key], job=job) if key in self.results else None

    def log(self, url: str) -> KeptLog:
        return self.logs.setdefault(url, KeptLog())

    def upload(self, url: str, content: bytes) -> None:
        if self.is_away:
            raise TransportError("PUT: nobody answers")
        self.uploads[url] = content
