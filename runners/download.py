"""The files of one lock, from start to end: fetch them in a container, check each again, upload them as one tar."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from runners import artifacts
from runners.contract.dependencies import LOCK, LockedFile
from runners.contract.download import DOWNLOADER, Download
from runners.contract.job import Limits, Outcome
from runners.contract.source import Fetched
from runners.errors import ContainerTimeoutError, RefusedError
from runners.networked import LOG_BYTES, SLACK_BYTES, SLACK_S, Networked, Order, inflate, obey
from runners.recipes.recipe import pack_tree

MEMORY_BYTES = 192 << 20  # Python with TLS, one file at a time, and what it made, which is in memory, too


class Service(Protocol):
    """The service as a download sees it."""

    def upload(self, url: str, content: bytes) -> None:
        """Safe to repeat. Raises: TransportError."""


class Downloader(Networked[Download, Service]):
    """Fetches dependencies."""

    def _run(self, work: Download) -> Fetched:
        order = Order(
            id=work.id,
            limits=container_limits(work),
            speaks=("kiln.downloader", DOWNLOADER),
            feed=lambda: orders(work),
            broke="fetching the dependencies broke off",
            too_large="the dependencies are too large to be fetched",
        )
        try:
            files, image = obey(order, self.engine, runner=self.name, is_cancelled=self.is_cancelled)
        except ContainerTimeoutError as error:
            return Fetched(fetch=work.id, outcome=Outcome.TIMED_OUT, message=f"fetching the dependencies: {error}")
        too_large = f"the dependencies have more than the {work.size_bytes} bytes of {LOCK}"
        contents = inflate(files.get("contents", b""), work.size_bytes, too_large=too_large)
        packed = artifacts.pack(cut(contents, work.files))
        self.service.upload(work.upload_url, packed)
        done = Fetched(fetch=work.id, outcome=Outcome.SUCCEEDED, files=len(work.files), size_bytes=len(packed))
        return replace(done, digest=hashlib.sha256(packed).hexdigest(), image=image)


def orders(download: Download) -> bytes:
    """What goes into the container, by its standard input: build-images/source/fetcher/files.py reads it."""
    values = {"kind": "files", "time_s": download.time_s, "hosts": ",".join(download.hosts)}
    lines = (f"{each.size_bytes} {each.sha256} {each.path} {each.url}\n" for each in download.files)
    files = {
        "in/orders": "".join(f"{key}={value}\n" for key, value in values.items()).encode(),
        "in/files": "".join(lines).encode(),
    }
    if download.authorities:
        files["in/authorities.pem"] = download.authorities.encode()
    return pack_tree(files, ())


def container_limits(download: Download) -> Limits:
    return Limits(
        memory_bytes=MEMORY_BYTES + 2 * download.size_bytes,
        disk_bytes=2 * download.size_bytes + SLACK_BYTES,
        time_s=download.time_s + SLACK_S,
        log_bytes=LOG_BYTES,
        output_bytes=2 * download.size_bytes + SLACK_BYTES,
        output_files=2,
    )


def cut(contents: bytes, files: Iterable[LockedFile]) -> dict[str, bytes]:
    """By path: what lies one after the other. Raises: RefusedError when one is not what the lock names."""
    found, at = {}, 0
    for each in files:
        content = contents[at : at + each.size_bytes]
        at += each.size_bytes
        if len(content) != each.size_bytes or hashlib.sha256(content).hexdigest() != each.sha256:
            raise RefusedError(f"{each.path} is not the file that {LOCK} names: {each.url}")
        found[each.path] = content
    return found
