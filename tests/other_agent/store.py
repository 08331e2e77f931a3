"""A folder as flash: two slots, one file that says what runs, and nothing that a cut leaves half."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.other_agent.packs import Older
from tests.other_agent.trust import RefusedError, from_base64url, read_trust
from tests.other_agent.words import (
    Configuration,
    Entry,
    Statement,
    open_configuration,
    read_index,
    read_statement,
    sha256,
)


@dataclass
class Running:
    """What starts: a slot's release ("" before the first), and a configuration ("" as enrolled)."""

    slot: str = ""
    release: str = ""
    config: str = ""


@dataclass
class Floors:
    """What the device does not go below; each belongs to an epoch of its role."""

    release_epoch: int = 0
    counter: int = 0
    director_epoch: int = 0
    seq: int = 0  # of the order that was accepted last, and what it named
    ordered: tuple[str, str] = ("", "")
    settled: int = 0  # no order up to this seq is tried again
    latest: int = 0  # latest time that was verified


@dataclass
class State:
    """Everything that changes, in one file that is replaced by a rename: the pointer, too."""

    running: Running = field(default_factory=Running)
    before: Running | None = None  # set during a trial: what runs again if it fails
    boots: int = 0
    outcome: dict[str, str] | None = None  # a report that was not acknowledged yet
    last: str = ""
    floors: Floors = field(default_factory=Floors)
    installs: list[int] = field(default_factory=list)


def write(path: Path, raw: bytes) -> None:
    """Replace a file in one step, and have it on the disk."""
    aside = path.with_suffix(path.suffix + ".new")
    with aside.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


class Store:
    """The flash of one device; `kiln/` in it is what enrolment put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.enrolled: dict[str, Any] = json.loads((folder / "kiln/device.json").read_bytes())
        settings = folder / "kiln/settings.json"
        self.settings: dict[str, Any] = json.loads(settings.read_bytes()) if settings.exists() else {}
        self.trust = read_trust((folder / "kiln/trust.json").read_bytes())
        self.state = self._read_state()
        self._begin_epochs()

    def _read_state(self) -> State:
        try:
            value = json.loads((self.folder / "state.json").read_bytes())
        except FileNotFoundError:
            return State()
        value["running"] = Running(**value["running"])
        value["before"] = Running(**value["before"]) if value["before"] else None
        value["floors"] = Floors(**value["floors"] | {"ordered": tuple(value["floors"]["ordered"])})
        return State(**value)

    def save(self) -> None:
        write(self.folder / "state.json", json.dumps(asdict(self.state)).encode())

    def _begin_epochs(self) -> None:
        """Forget the floors of an epoch that is over."""
        floors, epochs = self.state.floors, self.trust.epochs
        if floors.release_epoch != epochs["release"]:
            floors.release_epoch, floors.counter = epochs["release"], 0
        if floors.director_epoch != epochs["director"]:
            floors.director_epoch, floors.seq, floors.settled, floors.latest = epochs["director"], 0, 0, 0
            floors.ordered = ("", "")

    def take_root(self, payload: bytes) -> None:
        write(self.folder / "kiln/trust.json", payload)
        self.trust = read_trust(payload)
        self._begin_epochs()
        self.save()

    def configuration(self, digest: str) -> Configuration:
        if not digest:
            return Configuration(self.settings, {})
        try:
            raw = (self.folder / f"config.{digest}").read_bytes()
        except FileNotFoundError:
            raise RefusedError("bad_config", "lost") from None
        if sha256(raw) != digest:
            raise RefusedError("bad_config", "spoilt")
        return open_configuration(raw, self.enrolled.get("key", ""))

    def statement(self) -> Statement | None:
        """What runs, None before the first release; it was verified when it was installed."""
        if not self.state.running.release:
            return None
        return read_statement(self._payload(self.state.running.slot))

    def _payload(self, slot: str) -> bytes:
        return from_base64url((self.folder / slot / "statement").read_text().split(".")[1])

    def older(self) -> Older | None:
        """What a pack may build on."""
        running = self.state.running
        if not running.release:
            return None
        slot, payload = self.folder / running.slot, self._payload(running.slot)
        index = (slot / "index").read_bytes()

        def read(entry: Entry) -> bytes:
            raw = (slot / "files" / entry.path).read_bytes()
            if sha256(raw) != entry.sha256:
                raise RefusedError("digest_mismatch", f"{entry.path} of what runs")
            return raw

        return Older(running.release, payload, index, read_index(index, read_statement(payload)), read)

    def install(self, statement: bytes, index: bytes, files: Iterator[tuple[Entry, bytes]]) -> str:
        """Write a release into the slot that does not run, read it back; answers which slot."""
        slot = "b" if self.state.running.slot == "a" else "a"
        target = self.folder / slot
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        entries = []
        for entry, raw in files:
            if len(raw) != entry.size or sha256(raw) != entry.sha256:
                raise RefusedError("digest_mismatch", entry.path)
            path = target / "files" / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(path, raw)
            except OSError as error:
                raise RefusedError("no_space", str(error)) from error
            entries.append(entry)
        for entry in entries:
            if sha256((target / "files" / entry.path).read_bytes()) != entry.sha256:
                raise RefusedError("digest_mismatch", f"{entry.path} as it was written")
        write(target / "index", index)
        write(target / "statement", statement)
        return slot

    def begin_trial(self, running: Running) -> None:
        """Let the pointer name what starts next; what runs now is kept for the way back."""
        self.state.before, self.state.running, self.state.boots = self.state.running, running, 0
        self.save()

    def settle(self, seq: int, reason: str, detail: str, release: str) -> None:
        """The order that was accepted is not tried again."""
        self.state.floors.settled = seq
        self.state.outcome = {"state": "refused", "reason": reason, "detail": detail, "release": release}
        self.save()

    def confirm(self, counter: int) -> None:
        self.state.before, self.state.boots = None, 0
        self.state.floors.counter = max(self.state.floors.counter, counter)
        self.state.outcome = {"state": "confirmed", "release": self.state.running.release}
        self.save()
        for path in self.folder.glob("config.*"):
            if path.name != f"config.{self.state.running.config}":
                path.unlink()

    def roll_back(self, reason: str, detail: str) -> None:
        if self.state.before is None:
            raise AssertionError("nothing is on trial")
        told = {"state": "rolled_back", "reason": reason, "detail": detail, "release": self.state.running.release}
        self.state.running, self.state.before, self.state.boots = self.state.before, None, 0
        self.state.floors.settled = self.state.floors.seq
        self.state.outcome, self.state.last = told, f"{reason}: {detail}"
        self.save()
