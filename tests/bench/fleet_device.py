"""A simulated device: it speaks the protocol of docs/ota.md, checks every signature, and believes nothing else.

Its flash is a dictionary, and its restarts are pauses; its network and its checks are real.
"""

import asyncio
import base64
import contextlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from service.adapters.clock import SystemClock
from tests.bench.fleet_lines import Mqtt, RefusedError, get
from tests.bench.fleet_releases import NONE, Releases

TROUBLE = (OSError, TimeoutError, RefusedError)
TRIES = 8  # of a download
RESTART_S = (0.5, 2.0)  # of a board, from and to
AGAIN_S = (0.2, 1.0)  # after a line that was lost


@dataclass(kw_only=True)
class World:
    """What all devices of a bench share: where Kiln is, whom they believe, and how lines behave."""

    port: int
    mqtt_port: int
    keys: dict[str, dict[str, rsa.RSAPublicKey]]  # role -> key id -> key
    cut_share: float = 0  # of lines that break, of each kind
    bad: frozenset[str] = frozenset()  # releases that crash when they run
    chance: random.Random = field(default_factory=lambda: random.Random(6))  # the same cuts in each run
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(200))  # connections being opened
    seen: Counter[str] = field(default_factory=Counter)
    releases: Releases = field(init=False)

    def __post_init__(self) -> None:
        self.releases = Releases(lambda statement: self.verified("release", statement))

    @classmethod
    def of(cls, port: int, mqtt_port: int, root: dict[str, Any]) -> "World":
        """`root` is the payload of the root document, as a device is given it."""
        keys: dict[str, dict[str, rsa.RSAPublicKey]] = {}
        for role in ("release", "director"):
            entries = root[role]
            numbers = [rsa.RSAPublicNumbers(each["e"], int(each["n"], 16)) for each in entries]
            keys[role] = {each["kid"]: number.public_key() for each, number in zip(entries, numbers, strict=True)}
        return cls(port=port, mqtt_port=mqtt_port, keys=keys)

    def verified(self, role: str, jws: bytes) -> dict[str, Any]:
        """The payload of what was signed in this role. Raises: ValueError."""
        signed, _, signature = jws.rpartition(b".")
        head, _, payload = signed.partition(b".")
        kid = json.loads(_decoded(head))["kid"]
        if kid not in self.keys[role] or _decoded(head) != f'{{"alg":"RS256","kid":"{kid}"}}'.encode():
            raise ValueError(f"not a {role} key: {kid}")
        try:
            self.keys[role][kid].verify(_decoded(signature), signed, padding.PKCS1v15(), SHA256())
        except InvalidSignature as error:
            raise ValueError(f"not signed by the {role} key") from error
        said: dict[str, Any] = json.loads(_decoded(payload))
        return said

    def is_cut(self) -> bool:
        return self.chance.random() < self.cut_share


@dataclass(kw_only=True)
class Device:
    """One board. `running` is the digest of the release whose every byte it has checked."""

    id: str
    token: str
    here: str  # the address that it comes from
    world: World
    board: str = "unix"
    running: str = ""
    counter: int = 0
    version: str = ""
    seq: int = 0
    noticed_at: dict[str, float] = field(default_factory=dict)  # release -> Unix seconds of its first notice
    finished_at: dict[str, float] = field(default_factory=dict)  # release -> when its outcome was acknowledged
    is_broken: bool = False
    given_up: set[str] = field(default_factory=set)  # releases that were rolled back
    said: dict[str, Any] = field(default_factory=lambda: {"state": "idle"})  # at the next connection
    _line: Mqtt | None = None

    async def live(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._connected()
                except TROUBLE as error:
                    self.world.seen[f"line: {type(error).__name__}"] += 1
                    self._cut()
                    await asyncio.sleep(random.uniform(*AGAIN_S))
        finally:
            self._cut()

    @property
    def is_connected(self) -> bool:
        return self._line is not None

    async def _connected(self) -> None:
        """One connection, up to the next restart."""
        self._line = None
        line = Mqtt(self.id)
        try:
            async with self.world.gate:
                await line.connect(self.world.mqtt_port, self.here, self.token)
                await line.publish("report", self.report(**self.said))
            self._line = line
            if self.said["state"] == "trial":  # one that goes well
                self.said = {"state": "confirmed", "release": self.running}
                await line.publish("report", self.report(**self.said))
            self.finished_at.setdefault(self.said.get("release", ""), now())
            self.said = {"state": "idle"}
            self.said = await self._follow(await self._order_on(line))
        except BaseException:
            line.cut()
            raise

    async def _order_on(self, line: Mqtt) -> dict[str, Any]:
        """Wait for an order that is to be followed. Raises: ConnectionResetError when the line is lost."""
        cut_in = self.world.chance.uniform(0.0, 20.0) if self.world.is_cut() else None
        while True:
            try:
                notice = await asyncio.wait_for(line.messages.get(), cut_in)
            except TimeoutError as error:
                self.world.seen["cut while it waited"] += 1
                raise ConnectionResetError("cut") from error
            if notice is None:
                raise ConnectionResetError("the line is gone")
            order = self._order(notice) if notice else None
            if order is not None:
                await line.publish("report", self.report(state="downloading", release=order["release"]))
                await line.leave()  # what fetches wants the heap for itself
                self._line = None
                return order

    def _order(self, notice: bytes) -> dict[str, Any] | None:
        """What is to be done; None when there is nothing to do, or it must not be done."""
        try:
            order = self.world.verified("director", notice)
        except ValueError as error:
            self.world.seen[f"order refused: {error}"] += 1
            return None
        self.noticed_at.setdefault(order["release"], now())
        if order["device"] != self.id or order["expires"] < now():
            self.world.seen["order refused: not mine, or expired"] += 1
            return None
        if order["seq"] <= self.seq and order["release"] == self.running:
            return None
        if order["seq"] < self.seq or order["counter"] < self.counter:
            self.world.seen["order refused: replayed or downgrade"] += 1
            return None
        self.seq = order["seq"]
        return None if order["release"] in {self.running, *self.given_up} else order

    async def _follow(self, order: dict[str, Any]) -> dict[str, Any]:
        """Fetch, check, switch; answers what to say after the restart."""
        digest = order["release"]
        try:
            statement = await self._taken(digest, order["size"])
        except TROUBLE as error:
            self.world.seen[f"download: {error}"[:60]] += 1
            return {"state": "refused", "reason": "download_failed", "detail": str(error)[:200]}
        except ValueError as error:
            self.world.seen[f"bundle: {error}"] += 1
            return {"state": "refused", "reason": "digest_mismatch", "detail": str(error)[:200]}
        await asyncio.sleep(random.uniform(*RESTART_S))
        if digest in self.world.bad:  # it raises at its first start, and the release before runs again
            self.given_up.add(digest)
            return {"state": "rolled_back", "reason": "import_error", "detail": "ValueError", "release": digest}
        self.is_broken = statement["board"] != self.board or statement["counter"] != order["counter"]
        self.running, self.counter, self.version = digest, statement["counter"], statement["version"]
        return {"state": "trial", "release": digest}

    async def _taken(self, digest: str, size: int) -> dict[str, Any]:
        """What a release says, from a pack where there is one, as the agent has it. Raises: ValueError, TROUBLE."""
        older, path = self.running or NONE, f"/ota/v1/releases/{digest}"
        try:
            packed = await self.fetch(f"{path}/pack/2?from={older}", size)
            statement = self.world.releases.of_pack(packed, older, digest)
        except (RefusedError, ValueError) as error:
            self.world.seen[f"bundles, for {error}".split("/ota")[0][:60]] += 1
            return self.world.releases.of_bundle(await self.fetch(f"{path}/bundle", size), digest)
        self.world.seen["packs"] += 1
        return statement

    async def fetch(self, path: str, size: int) -> bytes:
        """A pack or a bundle of at most `size` bytes, in as many pieces as lines are cut.

        Raises: OSError, TimeoutError, RefusedError.
        """
        found = b""
        for tried in range(TRIES):
            most = self.world.chance.randrange(1, size) if self.world.is_cut() else None
            headers = {"Authorization": f"Bearer {self.token}", "X-Kiln-Device": self.id}
            try:
                some, is_whole = await get(
                    self.world.port, self.here, path, headers | {"Range": f"bytes={len(found)}-"}, most=most
                )
            except TROUBLE as error:
                self.world.seen[f"fetch: {type(error).__name__}"] += 1
                if isinstance(error, RefusedError) or tried == TRIES - 1:
                    raise
                await asyncio.sleep(random.uniform(*AGAIN_S) * (tried + 1))
                continue
            found += some
            if is_whole:
                return found
            self.world.seen["cut while it fetched"] += 1
        raise TimeoutError(f"not fetched in {TRIES} tries")

    def report(self, **said: Any) -> bytes:
        of = {"v": 1, "reason": "", "detail": "", "release": "", "running": self.running, "version": self.version}
        about = {"counter": self.counter, "seq": self.seq, "board": self.board, "slot": "a", "root": 1, "agent": 1}
        return json.dumps({**of, **about, "free": 1 << 20, "heap": 90_000, **said}, separators=(",", ":")).encode()

    def _cut(self) -> None:
        if self._line is not None:
            self._line.cut()
            self._line = None


def now() -> float:
    """Unix seconds."""
    return SystemClock().now().timestamp()


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for each in tasks:
        each.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
