"""`kiln build`: the same build from a folder, without any service."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from runners.contract.download import DEPENDENCIES
from runners.contract.job import Blob, Result
from runners.errors import TransportError
from runners.verdict import sentence

MAX_LINE_BYTES = 4096  # of a log; what is longer is shown in pieces

Show = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalService:
    """`runners.run.Service`: source and dependencies are at hand, artifacts are files, the log is shown."""

    source: bytes
    output: pathlib.Path | None  # None: artifacts are made and dropped
    show: Show
    dependencies: bytes = b""

    def fetch(self, blob: Blob) -> bytes:
        return self.dependencies if blob.url == DEPENDENCIES else self.source

    def upload(self, url: str, content: bytes) -> None:
        if self.output is None:
            return
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / url).write_bytes(content)
        except OSError as error:
            raise TransportError(f"{self.output / url} cannot be written: {error.strerror}") from error

    def cached(self, url: str, key: str, *, job: str) -> Result | None:
        return None

    def log(self, url: str) -> "ShownLog":
        return ShownLog(self.show)


class ShownLog:
    """`runners.run.Log`. What a build prints does nothing to the terminal but fill its lines."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._rest = b""

    def write(self, content: bytes) -> None:
        *lines, self._rest = (self._rest + content).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._show(sentence(line.decode("utf-8", "replace").rstrip()))

    def end(self) -> None:
        if self._rest:
            self.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
