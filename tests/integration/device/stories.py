"""Random lives of a board for the power-cut harness: updates, bad releases, cuts, faults of the
network and attacks mixed. Each ends with a good release that must run in the end.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.releases import sign_desired
from tests.fakes.signing import foreign_key
from tests.integration.device.plan import BAD, Blobs, Plan

GOOD = 12  # releases that work, with counters 1 to 12; a life takes them in order
BEGIN = "begin"
_STEPS = (1, 5)  # before the last one
_FAULTS = ("cut", "stall", "flip", "gone", "error")
_KEY = "good{}"


def releases(plan: Plan) -> None:
    """All releases that may occur: for each counter a good one and a bad one of each kind."""
    for counter in range(1, GOOD + 1):
        plan.release(_KEY.format(counter), counter)
        for kind, body in BAD.items():
            plan.release(f"{kind}{counter}", counter, body)


class Story:
    """One life. `chance` decides everything."""

    def __init__(self, plan: Plan, blobs: Blobs, chance: random.Random) -> None:
        self._plan = plan
        self._blobs = blobs
        self._chance = chance
        self._top = 1  # the highest counter of a good release that was ordered
        self._seq = 1
        self._orders: list[bytes] = []  # good ones, for replay
        self._steps: list[dict[str, Any]] = []

    def tell(self) -> dict[str, Any]:
        """The life as lives.py wants it."""
        kinds: list[Callable[[], None]] = [self._update, self._fault, self._bad, self._attack]
        for _ in range(self._chance.randint(*_STEPS)):
            self._chance.choice(kinds)()
        self._update()
        last = self._steps[-1]
        self._steps.append({**last, "cut": None})  # whatever happened there, the board starts again
        name = _KEY.format(self._top)
        end = {"may_start": [], "ends": (name, "first"), "seq": self._seq, "agent": "factory"}
        return {"steps": self._steps, "end": {**end, "trust": self._plan.trusted()}}

    def _step(self, what: str, order: bytes, *faults: dict[str, Any]) -> None:
        cut = (self._chance.random(), self._chance.random() < 0.5) if self._chance.random() < 0.6 else None
        self._steps.append(
            {
                "what": what,
                "desired": self._blobs.name(order),
                "shelf": "all",
                "faults": list(faults),
                "cut": cut,
            }
        )

    def _next(self) -> tuple[str, bytes]:
        self._top += 1
        self._seq += 1
        name = _KEY.format(self._top)
        self._orders.append(self._plan.order(name, seq=self._seq))
        return name, self._orders[-1]

    def _update(self) -> None:
        name, order = self._next()
        self._step("update to " + name, order)

    def _fault(self) -> None:
        name, order = self._next()
        made = self._plan.releases[name]
        kind = self._chance.choice(_FAULTS)
        fault = {
            "path": f"/ota/v1/releases/{made.digest}",
            "kind": kind,
            "at": self._chance.randrange(len(made.bundle)),
            "times": self._chance.choice((1, 2, 99)),
        }
        self._step(f"{kind} at {fault['at']} of {name}", order, fault)

    def _bad(self) -> None:
        self._seq += 1
        name = f"{self._chance.choice(list(BAD))}{self._top + 1}"
        self._step(name, self._plan.order(name, seq=self._seq))

    def _attack(self) -> None:
        # An order that is signed well and stale in another way takes its number with it.
        name = _KEY.format(self._top + 1)
        made = self._plan.releases[name]
        kind = self._chance.choice(("stranger", "replay", "bent", "other device", "downgrade", "garbage"))
        if kind == "stranger":
            order = sign_desired(made, seq=self._seq + 1, key=foreign_key())
        elif kind == "replay":
            order = self._chance.choice(self._orders or [b"x"])
        elif kind == "other device":
            order = self._plan.order(name, seq=self._seq + 1, device="d2")
        elif kind == "downgrade":
            self._seq += 1
            order = self._plan.order(_KEY.format(1), seq=self._seq)
        else:
            order = self._bent(kind)
        self._step(kind, order)

    def _bent(self, kind: str) -> bytes:
        if kind == "garbage":
            return self._chance.randbytes(self._chance.randint(1, 1100))
        order = bytearray(self._plan.order(_KEY.format(self._top + 1), seq=self._seq + 1))
        order[self._chance.randrange(len(order))] ^= 1 << self._chance.randrange(8)
        return bytes(order)


def write(folder: Path, *, seed: int, count: int) -> None:
    """Write a plan for these lives, the lives, and what the server has. They begin after the act BEGIN."""
    plan = Plan()
    releases(plan)
    first = ("good1", "first")
    order, paths = plan.order("good1", seq=1), plan.bundle("good1")
    plan.act(BEGIN, desired=order, paths=paths, may_start=[first], ends=first, seq=1)
    plan.write(folder)
    chance = random.Random(seed)
    known = json.loads((folder / "plan.json").read_text())
    blobs = Blobs(folder, known["files"])
    lives = [Story(plan, blobs, chance).tell() for _ in range(count)]
    (folder / "lives.json").write_text("\n".join(map(json.dumps, lives)))
    everything = {path: blobs.name(content) for path, content in plan.bundle(*plan.releases).items()}
    (folder / "shelves.json").write_text(json.dumps({"all": everything}))
    (folder / "plan.json").write_text(json.dumps(known))
