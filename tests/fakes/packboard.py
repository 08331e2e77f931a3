"""The part of a board that an update needs, in a folder: /kiln, the slots, and what the agent remembers."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ota import bundle, head, install, look, moves, pack, packhead, state, update
from tests.fakes.packs import pack_of
from tests.fakes.releases import FakeRelease, desired_for
from tests.fakes.signing import trust

DEVICE = {"id": "d1", "board": "unix", "repo": "local/blink"}


def quiet() -> None:
    """Nothing to do meanwhile."""


class PackBoard:
    """`agent` of ota/update.py without a line: releases and packs are laid into its hands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = str(folder)
        self.device = DEVICE
        self.state: dict[str, Any] = moves.empty()
        self.saved: list[dict[str, Any]] = []
        self.is_full = False
        (folder / "kiln").mkdir(exist_ok=True)
        (folder / "kiln/trust.json").write_text(json.dumps(trust()))

    def save(self) -> bool:
        self.saved.append(dict(self.state))
        return not self.is_full

    def run(self, release: FakeRelease) -> None:
        """Install it from its bundle, and let it run."""
        slot = state.other(self.state["active"])
        record = update.take(io.BytesIO(release.bundle), desired_for(release, seq=1), self, lambda: None)
        self.state[slot] = record
        self.state["active"] = slot

    def unpack(
        self, newer: FakeRelease, older: FakeRelease | None, *, packed: bytes | None = None, idle: Callable[[], None]
    ) -> dict[str, bytes]:
        """Install it from a pack; the files of the other slot. Raises as the agent does."""
        raw = pack_of(older, newer) if packed is None else packed
        update.take_pack(io.BytesIO(raw), desired_for(newer, seq=2), self, idle)
        return self.files(state.other(self.state["active"]))

    def run_believed(self, release: FakeRelease, stated: dict[str, Any]) -> None:
        """As `run`, of a release whose statement is believed: checking signatures takes most of the time."""
        slot = state.other(self.state["active"])
        source = io.BytesIO(release.bundle)
        jws = head.read(source)
        install.write(bundle.Files(source), stated, self.root, slot, quiet, jws)
        self.state[slot] = {"release": release.digest, "version": "1", "counter": 1}
        self.state["active"] = slot

    def unpack_believed(self, stated: dict[str, Any], packed: bytes) -> dict[str, bytes]:
        """As `unpack`, with the same difference."""
        source = io.BytesIO(packed)
        active = self.state["active"]
        kept = f"{self.root}/kiln/{active}.jws"
        jws, at, taken = packhead.read(source, self.state[active]["release"], kept)
        slot = state.other(active)
        supply = pack.Files(source, at, taken, self.root, active, quiet)
        install.write(supply, stated, self.root, slot, quiet, jws)
        look.check(stated, self.root, slot, quiet)
        return self.files(slot)

    def files(self, slot: str) -> dict[str, bytes]:
        folder = self.folder / slot
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
