"""A board's first files: the agent, the keys that it shall trust, and a release that is there already.

The paths and their meaning: device/README.md, "Files on the board".
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.domain import bundle

MAIN = b"import ota_loader\n\nota_loader.run()\n"
SLOT = "a"  # of the release that a board is made with
OTHER = "b"
CONFIGURATION = f"kiln/config.{SLOT}"
AUTHORITY = "kiln/ca.pem"  # who vouches for Kiln and its broker
AGENT_HEAP_BYTES = 56 << 10  # the agent in files takes so much, with words of 32 bits (docs/ota.md, "Heap")
VERIFIED = {"ca": f"/{AUTHORITY}"}  # `tls` of device.json where there is one
DATA = "data/"  # an empty folder, for what the application keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A configuration as a board keeps it that took it over the air (device/ota/configuration.py)."""

    digest: str  # as orders name it
    plain: bytes = field(repr=False)  # what is in it

    @property
    def file(self) -> bytes:
        return f"{self.digest} {hashlib.sha256(self.plain).hexdigest()} 0\n".encode() + self.plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes a board one device. All of it is secret."""

    device: Mapping[str, Any] = field(repr=False)  # device.json
    settings: Mapping[str, Any] = field(repr=False)  # settings.json
    configuration: Taken | None = None  # in force from the first start on, beside a release
    authority: str = ""  # a certificate in PEM; `device` names its file then

    @property
    def files(self) -> dict[str, bytes]:
        found = {"kiln/device.json": _json(self.device), "kiln/settings.json": _json(self.settings)}
        if self.authority:
            found[AUTHORITY] = self.authority.encode()
        if self.configuration is not None:
            found[CONFIGURATION] = self.configuration.file
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBoard:
    """What a board gets beside the files of a release, so that it starts and can be updated."""

    agent: tuple[bundle.File, ...]  # bytecode: `ota_loader.mpy` and `ota/<name>.mpy`
    trust: Mapping[str, Any]  # trust.json
    statement: str = ""  # of the release, as it was signed; empty: none, and the first one comes over the air
    version: str = ""  # of the release
    counter: int = 0
    identity: Identity | None = None  # None: any board of its kind

    @property
    def digest(self) -> str:
        """Equal ones lay out equal files in an equal way."""
        lines = [*sorted(f"{each.path} {each.digest}" for each in self.agent), json.dumps(self.trust, sort_keys=True)]
        own = sorted(self.identity.files.items()) if self.identity else []
        lines += [f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in own]
        return hashlib.sha256("\n".join([*lines, self.statement]).encode()).hexdigest()

    def lay_out(self, files: Iterable[bundle.File]) -> dict[str, bytes]:
        """The board's whole file system, by path; `files` are those of the release."""
        listing = list(files)
        found = self.around(bundle.listed(listing).encoded)
        return {**found, **{place(each.path): each.content for each in listing}}

    def around(self, index: bytes) -> dict[str, bytes]:
        """All but the files of the release, by path; `index` names those."""
        found = {**agent_files(self.agent), "kiln/trust.json": _json(self.trust), DATA: b""}
        if self.identity is not None:
            found |= self.identity.files
        if self.statement:
            found[f"kiln/{SLOT}.jws"] = self.statement.encode()
            found[f"kiln/{SLOT}.index"] = index
            found["kiln/state.json"] = _json(self._state())
            found["kiln/floor.json"] = _json(self._floor())
        return found

    def _state(self) -> dict[str, Any]:
        """As the agent leaves it after a release was confirmed; what is not there is as on a new board."""
        release = bundle.release_digest(self.statement)
        record = {"release": release, "version": self.version, "counter": self.counter}
        state = {"active": SLOT, SLOT: record, "counter": self.counter, "epochs": self._epochs()}
        taken = self.identity.configuration if self.identity else None
        return {**state, "config": SLOT, "configs": {SLOT: taken.digest, OTHER: ""}} if taken else state

    def _floor(self) -> dict[str, Any]:
        """The same floors once more, should the state be lost before the first update."""
        return {"counter": self.counter, "seq": 0, "wanted": "", "epochs": self._epochs(), "day": [0, 0]}

    def _epochs(self) -> list[int]:
        epochs = self.trust.get("epochs", {})
        return [epochs.get(role, 1) for role in ("release", "director")]


def place(path: str) -> str:
    """Where a file of the release is on the board."""
    return f"{SLOT}/{path}"


def agent_files(agent: Iterable[bundle.File]) -> dict[str, bytes]:
    """Loader, agent and the two lines that start them."""
    return {"main.py": MAIN, **{f"lib/{each.path}": each.content for each in agent}}


def _json(value: Mapping[str, Any]) -> bytes:
    return bundle.canonical(dict(value))
