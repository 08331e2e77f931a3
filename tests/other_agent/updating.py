"""Keys, time, orders and releases: what is fetched, judged and installed (docs/ota.md)."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.other_agent import web
from tests.other_agent.packs import contents, open_pack, take_content
from tests.other_agent.store import Running, Store, write
from tests.other_agent.trust import ROOT_BYTES, RefusedError, next_root, payload_of
from tests.other_agent.words import (
    Entry,
    Order,
    Statement,
    fits,
    read_index,
    read_order,
    read_statement,
    read_time,
    sha256,
)

JWS_BYTES, STATEMENT_BYTES, CONFIGURATION_BYTES, INDEX_BYTES = 1024, 1536, 4096, 65536
ASK_ROOTS_S = 60.0
DAY_S = 86400
MPY = 6  # what this device says of itself: bytecode of version 6, no native code
SIGNED_REFUSALS = ("wrong_board", "wrong_repository", "downgrade", "bad_path", "bad_config")


class LaterError(Exception):
    """An order that is judged again after so many seconds: a newer root document may mend it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass
class Waiting:
    """An order that is to be followed, or judged again, at some moment (monotonic seconds)."""

    jws: bytes
    seq: int  # 0: not verified
    at: float
    failures: int = 0


class Updating:
    """One start of the agent: what it knows of the time, and the way that is in force."""

    def __init__(
        self, store: Store, way: web.Way, packs: tuple[str, ...], log: Callable[[str], None], *, stale_s: float
    ) -> None:
        self.store, self.way, self._packs, self._log, self.stale_s = store, way, packs, log, stale_s
        self._asked_roots_at = time.monotonic() - ASK_ROOTS_S
        self._time: tuple[int, float] | None = None  # a signed time, and when it came (monotonic)

    # Keys

    def walk_roots(self) -> None:
        """Take every root document that follows; what cannot be asked is download_failed."""
        while True:
            try:
                document = web.get(self.way, f"/ota/v1/roots/{self.store.trust.version + 1}", ROOT_BYTES)
            except web.NetworkError as error:
                raise RefusedError("download_failed", f"root document: {error}") from error
            if document is None:
                return
            self.store.take_root(next_root(document, self.store.trust))
            self._log(f"root document {self.store.trust.version}")

    # Time

    def take_time(self) -> int:
        """Ask for the signed time; answers the newest seq that the service knows for this device."""
        nonce = secrets.token_hex(16)
        path = f"/ota/v1/devices/{self.way.device}/time?nonce={nonce}"
        try:
            jws = web.get(self.way, path, JWS_BYTES)
        except web.NetworkError as error:
            raise RefusedError("download_failed", f"time: {error}") from error
        if jws is None:
            raise RefusedError("download_failed", "no time")
        said = read_time(payload_of(jws, self.store.trust.keys["director"], JWS_BYTES))
        if said.device != self.way.device:
            raise RefusedError("wrong_device", "time")
        if said.nonce != nonce:
            raise RefusedError("replayed", "time")
        self._not_before(said.time)
        self._time = (said.time, time.monotonic())
        return said.seq

    def _not_before(self, seconds: int) -> None:
        if seconds > self.store.state.floors.latest:
            self.store.state.floors.latest = seconds
            self.store.save()

    @property
    def knows_time(self) -> bool:
        return self._time is not None

    def signed_time_age_s(self) -> float | None:
        return None if self._time is None else time.monotonic() - self._time[1]

    def now(self) -> int:
        """The time, or the latest that is known to be over."""
        latest = self.store.state.floors.latest
        return latest if self._time is None else max(latest, self._time[0] + int(time.monotonic() - self._time[1]))

    # Orders

    def judge(self, jws: bytes, waiting_seq: int = 0) -> Order:
        """Take an order that may be followed; refuse any other.

        For a key that is not known and a counter below the floor newer keys are looked for before, at most once a
        minute, and then it is judged once more. Raises: RefusedError, LaterError.
        """
        try:
            return self._judge_once(jws, waiting_seq)
        except RefusedError as refused:
            if not refused.unknown_key and refused.reason != "downgrade":
                raise
        left = self._asked_roots_at + ASK_ROOTS_S - time.monotonic()
        if left > 0:
            raise LaterError(left)
        self._asked_roots_at = time.monotonic()
        self.walk_roots()
        return self._judge_once(jws, waiting_seq)

    def _judge_once(self, jws: bytes, waiting_seq: int) -> Order:
        order = read_order(payload_of(jws, self.store.trust.keys["director"], JWS_BYTES))
        floors = self.store.state.floors
        if order.device != self.way.device:
            raise RefusedError("wrong_device", order.device)
        if order.seq < max(floors.seq, waiting_seq):
            raise RefusedError("replayed", f"seq {order.seq} below {max(floors.seq, waiting_seq)}")
        if order.seq == floors.seq and (order.release, order.config) != floors.ordered:
            raise RefusedError("replayed", f"seq {order.seq} named something else")
        if order.seq == floors.seq and (floors.settled == order.seq or self.is_in_force(order)):
            return order  # a repetition of what is over
        if order.expires < self.now():
            raise RefusedError("expired")
        if order.counter < floors.counter:
            raise RefusedError("downgrade", f"counter {order.counter} below {floors.counter}")
        self._not_before(order.issued)
        return order

    def is_in_force(self, order: Order) -> bool:
        running = self.store.state.running
        return (order.release, order.config) == (running.release, running.config)

    def accept(self, order: Order) -> None:
        """From here on nothing below this seq is taken."""
        floors = self.store.state.floors
        if order.seq > floors.seq:
            floors.seq, floors.ordered = order.seq, (order.release, order.config)
            self.store.save()

    def count_install(self, limit: int) -> None:
        recent = [one for one in self.store.state.installs if one > self.now() - DAY_S]
        if len(recent) >= limit:
            raise RefusedError("too_often", f"{len(recent)} in a day")
        self.store.state.installs = [*recent, self.now()]

    # Releases

    def fetch(self, order: Order) -> None:
        """Have all that the order names on the flash, and the pointer on it: a trial at the next start."""
        config = self._fetch_configuration(order)
        running = self.store.state.running
        slot = running.slot if order.release == running.release else self._fetch_release(order)
        self.store.begin_trial(Running(slot, order.release, config))

    def _fetch_configuration(self, order: Order) -> str:
        if order.config in ("", self.store.state.running.config):
            return order.config
        try:
            raw = web.get(self.way, f"/ota/v1/devices/{self.way.device}/config/{order.config}", CONFIGURATION_BYTES)
        except web.NetworkError as error:
            raise RefusedError("download_failed", f"configuration: {error}") from error
        if raw is None:
            raise RefusedError("download_failed", "no such configuration")
        if sha256(raw) != order.config:
            raise RefusedError("digest_mismatch", "configuration")
        write(self.store.folder / f"config.{order.config}", raw)
        self.store.configuration(order.config)
        return order.config

    def _fetch_release(self, order: Order) -> str:
        own = self.store.state.running.release
        for suffix in self._packs:
            path = f"/ota/v1/releases/{order.release}/pack{suffix}?from={own or '-'}"
            try:
                slot = self._take(order, path, suffix)
            except RefusedError as refused:
                self._log(f"pack{suffix}: {refused}")
                continue
            if slot:
                self._log(f"by pack{suffix}")
                return slot
        slot = self._take(order, f"/ota/v1/releases/{order.release}/bundle", "")
        if not slot:
            raise RefusedError("download_failed", "no such bundle")
        self._log("by bundle")
        return slot

    def _take(self, order: Order, path: str, suffix: str) -> str:
        """Download and install a pack or a bundle; answers the slot, "" where the service has none."""
        kind = "pack" + suffix.replace("/", "-") if "/pack" in path else "bundle"
        part = self.store.folder / f"part.{kind}.{order.release}"
        for old in self.store.folder.glob("part.*"):
            if old != part:
                old.unlink()
        if not web.download(self.way, path, part, order.size, exactly=kind == "bundle"):
            return ""
        raw = part.read_bytes()
        part.unlink()  # whatever is wrong with it, the next attempt begins anew
        return self._unpack(order, raw) if kind != "bundle" else self._unbundle(order, raw)

    def _statement(self, jws: bytes, order: Order) -> Statement:
        said = read_statement(payload_of(jws, self.store.trust.keys["release"], STATEMENT_BYTES))
        enrolled, floors = self.store.enrolled, self.store.state.floors
        if sha256(jws) != order.release:
            raise RefusedError("wrong_release")
        if said.repo != enrolled["repo"]:
            raise RefusedError("wrong_repository", said.repo)
        if said.board != enrolled["board"] or not fits(said, MPY):
            raise RefusedError("wrong_board", f"{said.board}, mpy {said.mpy}")
        if said.counter < floors.counter:
            raise RefusedError("downgrade", f"counter {said.counter} below {floors.counter}")
        if said.counter != order.counter:
            raise RefusedError("wrong_release", f"counter {said.counter}, ordered {order.counter}")
        if said.bundle_size(jws) != order.size:
            raise RefusedError("too_large" if said.bundle_size(jws) > order.size else "malformed", "size of the bundle")
        return said

    def _unpack(self, order: Order, raw: bytes) -> str:
        older = self.store.older()
        jws, stream = open_pack(raw, older, older.release if older else "")
        said = self._statement(jws, order)
        index = take_content(stream, said.index_size, older)
        return self.store.install(jws, index, contents(stream, read_index(index, said), older))

    def _unbundle(self, order: Order, raw: bytes) -> str:
        if not raw.startswith(b"KILN1\n"):
            raise RefusedError("malformed", "no bundle")
        jws, _, rest = raw[6:].partition(b"\n")
        said = self._statement(jws, order)
        index, files = rest[: said.index_size], rest[said.index_size :]
        entries = read_index(index, said)

        def cut() -> Iterator[tuple[Entry, bytes]]:
            at = 0
            for entry in entries:
                yield entry, files[at : at + entry.size]
                at += entry.size

        return self.store.install(jws, index, cut())
