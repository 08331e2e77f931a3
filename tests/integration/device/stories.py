"""Random lives of a board for the power-cut harness: updates, bad releases, cuts, faults of the
network, attacks, and changes of settings, keys and agent mixed. Each ends with a good release that
must run in the end, with the settings, the keys and the agent that were ordered last.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.signing import foreign_key
from tests.integration.device.plan import BAD, Blobs, Plan, key, trust

BEGIN = "begin"
GOOD = 9  # releases that work, with counters 1 to 9; a life takes them in order
ROOTS = 3  # root documents
AGENTS = ("factory", "agent-2", "agent-3")
BROKEN_AGENT = "agent-broken"
_STEPS = (1, 5)  # before the last one
_FAULTS = ("cut", "stall", "flip", "gone", "error")
_ATTACKS = ("stranger", "replay", "bent", "other device", "downgrade", "garbage")


class Supply:
    """What all lives share: releases, agents, root documents, and the configurations made on the way."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.paths: dict[str, bytes] = {}
        self._configurations: dict[tuple[str, str, bool], str] = {}
        for counter in range(1, GOOD + 1):
            self.plan.release(good(counter), counter)
            for kind, body in BAD.items():
                self.plan.release(f"{kind}{counter}", counter, body)
        for counter, name in enumerate(AGENTS[1:], 2):
            self.plan.agent(name, counter, {"reason": f"NUMBER = {counter}\n"})
        self.plan.agent(BROKEN_AGENT, 9, {"__init__": "import nothing\n"})
        self.paths.update(self.plan.bundle(*self.plan.releases))
        for older in range(1, GOOD):
            self.paths.update(self.plan.pack(good(older), good(older + 1)))

    def configuration(self, mark: str, agent: str, *, is_lost: bool = False) -> str:
        """The digest of such a configuration; with `is_lost` nobody is where it sends the board."""
        known = self._configurations
        if (mark, agent, is_lost) not in known:
            away = {"device": {"base": "http://nobody", "mqtt": {"host": "nobody", "port": 1883}}} if is_lost else {}
            made = self.plan.configuration(mark, agent="" if agent == AGENTS[0] else agent, **away)
            self.paths.update(self.plan.settings(made))
            known[mark, agent, is_lost] = made.digest
        return known[mark, agent, is_lost]


def good(counter: int) -> str:
    return f"good{counter}"


def root(number: int) -> dict[str, Any]:
    """Root document `number`: another key for orders, and one more for releases."""
    names = ["release", *(f"release-{each}" for each in range(2, number + 1))]
    return trust(number, release=[key(name) for name in names])


class Story:
    """One life. `chance` decides everything."""

    def __init__(self, supply: Supply, blobs: Blobs, chance: random.Random) -> None:
        self._supply = supply
        self._blobs = blobs
        self._chance = chance
        self._top = 1  # the highest counter of a good release that was ordered
        self._seq = 1
        self._root = 1
        self._agent = AGENTS[0]
        self._mark = "first"
        self._config: str | None = None
        self._orders: list[bytes] = []  # good ones, for replay
        self._steps: list[dict[str, Any]] = []

    def tell(self) -> dict[str, Any]:
        """The life as lives.py wants it."""
        often: list[Callable[[], None]] = [self._update, self._fault, self._bad, self._attack]
        seldom: list[Callable[[], None]] = [self._settings, self._lost_line, self._rotate, self._renew, self._spoil]
        for _ in range(self._chance.randint(*_STEPS)):
            self._chance.choice(often * 2 + seldom)()
        self._update()
        self._steps.append({**self._steps[-1], "cut": None})  # whatever happened there, the board starts again
        end = {"may_start": [], "ends": (good(self._top), self._mark), "seq": self._seq, "agent": self._agent}
        says = [root(self._root)] if self._root > 1 else []
        return {"steps": self._steps, "end": {**end, "trust": self._supply.plan.trusted(*says)}}

    def _step(self, what: str, order: bytes, *faults: dict[str, Any]) -> None:
        cut = (self._chance.random(), self._chance.random() < 0.5) if self._chance.random() < 0.6 else None
        self._steps.append(
            {
                "what": what,
                "desired": self._blobs.name(order),
                "shelf": str(self._root),
                "faults": list(faults),
                "cut": cut,
            }
        )

    def _order(self, name: str, **changes: Any) -> bytes:
        """The next order of the service: for a release, with the configuration of the day."""
        self._seq += 1
        signer = "director" if self._root == 1 else f"director-{self._root}"
        config = {"config": self._config} if self._config else {}
        return self._supply.plan.order(name, seq=self._seq, signer=signer, **{**config, **changes})

    def _next(self) -> tuple[str, bytes]:
        self._top += 1
        self._orders.append(self._order(good(self._top)))
        return good(self._top), self._orders[-1]

    def _update(self) -> None:
        name, order = self._next()
        self._step("update to " + name, order)

    def _fault(self) -> None:
        name, order = self._next()
        made = self._supply.plan.releases[name]
        kind = self._chance.choice(_FAULTS)
        paths = [f"/ota/v1/releases/{made.digest}", "/ota/v1/devices/d1/config/", "/ota/v1/roots/"]
        fault = {
            "path": self._chance.choices(paths, (4, 1, 1))[0],
            "kind": kind,
            "at": self._chance.randrange(len(made.bundle)),
            "times": self._chance.choice((1, 2, 99)),
        }
        self._step(f"{kind} at {fault['at']} of {fault['path']}", order, fault)

    def _bad(self) -> None:
        name = f"{self._chance.choice(list(BAD))}{self._top + 1}"
        self._step(name, self._order(name))

    def _settings(self) -> None:
        self._mark = f"mark{self._seq % 4}"
        self._config = self._supply.configuration(self._mark, self._agent)
        self._step("settings " + self._mark, self._order(good(self._top)))

    def _lost_line(self) -> None:
        lost = self._supply.configuration("lost", self._agent, is_lost=True)
        self._step("lost line", self._order(good(self._top), config=lost))

    def _rotate(self) -> None:
        self._root = min(self._root + 1, ROOTS)
        name, order = self._next()
        self._step(f"keys of root {self._root} and {name}", order)

    def _renew(self) -> None:
        self._agent = AGENTS[min(AGENTS.index(self._agent) + 1, len(AGENTS) - 1)]
        self._mark = f"mark{self._seq % 4}"
        self._config = self._supply.configuration(self._mark, self._agent)
        self._step(self._agent, self._order(good(self._top)))

    def _spoil(self) -> None:
        # An agent that does not work, taken back by what the service orders next.
        self._mark = f"mark{self._seq % 4}"
        self._config = self._supply.configuration(self._mark, BROKEN_AGENT)
        self._step(BROKEN_AGENT, self._order(good(self._top)))
        self._config = self._supply.configuration(self._mark, self._agent)

    def _attack(self) -> None:
        kind = self._chance.choice(_ATTACKS)
        order: bytes = getattr(self, "_" + kind.replace(" ", "_"))()
        self._step(kind, order)

    def _stranger(self) -> bytes:
        return foreign_key().sign(self._supply.plan.says(good(self._top + 1), seq=self._seq + 1))

    def _replay(self) -> bytes:
        return self._chance.choice(self._orders or [b"x"])

    def _other_device(self) -> bytes:
        return self._order(good(self._top + 1), device="d2")

    def _downgrade(self) -> bytes:
        return self._order(good(1))

    def _garbage(self) -> bytes:
        return self._chance.randbytes(self._chance.randint(1, 1100))

    def _bent(self) -> bytes:
        order = bytearray(self._order(good(self._top + 1)))
        order[self._chance.randrange(len(order))] ^= 1 << self._chance.randrange(8)
        return bytes(order)


def write(folder: Path, *, seed: int, count: int) -> None:
    """Write a plan for these lives, the lives, and what the server has. They begin after the act BEGIN."""
    supply = Supply()
    plan = supply.plan
    first = (good(1), "first")
    order, paths = plan.order(good(1), seq=1), plan.bundle(good(1))
    plan.act(BEGIN, desired=order, paths=paths, may_start=[first], ends=first, seq=1)
    plan.write(folder)
    chance = random.Random(seed)
    known = json.loads((folder / "plan.json").read_text())
    blobs = Blobs(folder, known["files"])
    lives = [Story(supply, blobs, chance).tell() for _ in range(count)]
    (folder / "lives.json").write_text("\n".join(map(json.dumps, lives)))
    shelves = {}
    for number in range(1, ROOTS + 1):
        if number > 1:
            supply.paths.update(plan.root(root(number)))
        shelves[str(number)] = {path: blobs.name(content) for path, content in supply.paths.items()}
    (folder / "shelves.json").write_text(json.dumps(shelves))
    (folder / "plan.json").write_text(json.dumps(known))
