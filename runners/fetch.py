"""One fetch from start to end: ask for the credential, run git in a container, look at what came, upload it."""

import hashlib
from dataclasses import asdict, replace
from typing import Protocol

from runners.contract.job import Limits, Outcome
from runners.contract.source import (
    FETCHER,
    MAX_TITLE_CHARS,
    NO_FILES,
    Credential,
    Fetch,
    Fetched,
    SourceLimits,
    is_empty,
)
from runners.errors import ContainerTimeoutError, RefusedError
from runners.networked import LOG_BYTES, SLACK_BYTES, SLACK_S, Networked, Order, inflate, obey, said_in
from runners.recipes.recipe import pack_tree
from runners.recipes.snapshot import Snapshot

NO_ACCESS = Credential(username="", password="")


class Service(Protocol):
    """The service as a fetch sees it."""

    def access(self, url: str) -> Credential | None:
        """None: none is needed. Raises: RefusedError when there can be none; TransportError."""

    def upload(self, url: str, content: bytes) -> None:
        """Safe to repeat. Raises: TransportError."""


class Fetcher(Networked[Fetch, Service]):
    """Fetches sources."""

    def _run(self, work: Fetch) -> Fetched:
        order = Order(
            id=work.id,
            limits=container_limits(work.limits),
            speaks=("kiln.fetcher", FETCHER),
            feed=lambda: orders(work, self.service.access(work.access_url)),
            broke="fetching the source broke off",
            too_large="the repository is too large to be fetched",
        )
        try:
            files, image = obey(order, self.engine, runner=self.name, is_cancelled=self.is_cancelled)
        except ContainerTimeoutError as error:
            return Fetched(fetch=work.id, outcome=Outcome.TIMED_OUT, message=f"fetching the source: {error}")
        return replace(self._keep(work, files), image=image)

    def _keep(self, fetch: Fetch, files: dict[str, bytes]) -> Fetched:
        limit = fetch.limits.snapshot_bytes
        too_large = f"the repository has more than {limit >> 20} MiB of files"
        snapshot = inflate(files.get("snapshot", b""), limit, too_large=too_large)
        if is_empty(snapshot):
            raise RefusedError(NO_FILES)
        found = Snapshot.parse(snapshot).files
        self.service.upload(fetch.upload_url, snapshot)
        return Fetched(
            fetch=fetch.id,
            outcome=Outcome.SUCCEEDED,
            title=said_in(files).get("title", "")[:MAX_TITLE_CHARS],
            digest=hashlib.sha256(snapshot).hexdigest(),
            size_bytes=len(snapshot),
            files=len(found),
        )


def orders(fetch: Fetch, credential: Credential | None) -> bytes:
    """What goes into the container, by its standard input: build-images/source/fetcher/run.py reads it."""
    known = credential or NO_ACCESS
    values = {
        "url": fetch.url,
        "commit": fetch.commit,
        "ref": fetch.ref,
        "username": known.username,
        "password": known.password,
        **asdict(fetch.limits),
    }
    files = {"in/orders": "".join(f"{key}={value}\n" for key, value in values.items()).encode()}
    if fetch.authorities:
        files["in/authorities.pem"] = fetch.authorities.encode()
    return pack_tree(files, ())


def container_limits(limits: SourceLimits) -> Limits:
    """The work area holds what git got, a second copy of it while it is packed, and the snapshot."""
    return Limits(
        memory_bytes=10 * limits.snapshot_bytes + (128 << 20),
        disk_bytes=6 * limits.snapshot_bytes,
        time_s=limits.time_s + SLACK_S,
        log_bytes=LOG_BYTES,
        output_bytes=limits.snapshot_bytes + SLACK_BYTES,
        output_files=2,
    )
