"""The acts of a board's whole life, for the power-cut harness."""

import random

from tests.integration.device import acts_changes, acts_keys
from tests.integration.device.plan import BAD, Plan, application

ONE, TWO = ("one", "first"), ("two", "first")


def whole_life() -> Plan:
    """Everything that a board goes through, each act on the chip that another one left."""
    plan = Plan()
    plan.release("one", 1)
    plan.release("two", 2)
    for kind, body in BAD.items():
        plan.release(kind, 3, body)
    plan.add("large", {**application(2), "noise": random.Random(1).randbytes(6000)}, counter=2)
    _updates(plan)
    _packs(plan)
    _losses(plan)
    acts_changes.settings(plan)
    acts_changes.agents(plan)
    acts_keys.keys(plan)
    acts_keys.time(plan)
    return plan


def _updates(plan: Plan) -> None:
    plan.act("first", desired=plan.order("one", seq=1), paths=plan.bundle("one"), may_start=[ONE], ends=ONE, seq=1)
    plan.act(
        "update",
        base="first",
        desired=plan.order("two", seq=2),
        paths=plan.bundle("two"),
        may_start=[ONE, TWO],
        ends=TWO,
        seq=2,
    )
    for name in BAD:
        plan.act(
            name,
            base="first",
            desired=plan.order(name, seq=2),
            paths=plan.bundle(name),
            may_start=[ONE, (name, "first")],
            ends=ONE,
            seq=2,
        )


def _packs(plan: Plan) -> None:
    plan.act(
        "pack",
        base="first",
        desired=plan.order("two", seq=2),
        paths=plan.bundle("two") | plan.pack("one", "two"),
        asks=["/pack/2?from="],
        asks_not=["/bundle"],
        may_start=[ONE, TWO],
        ends=TWO,
        seq=2,
    )
    large = ("large", "first")
    made = plan.pack("one", "large")
    (path,) = made
    # The line breaks in the middle, and what is on flash by then is not fetched again.
    plan.act(
        "pack-resumed",
        base="first",
        desired=plan.order("large", seq=2),
        paths=plan.bundle("large") | made,
        faults=[{"path": path, "kind": "cut", "at": 5000, "times": 1}],
        asks=["bytes=5000-"],
        asks_not=["/bundle"],
        may_start=[ONE, large],
        ends=large,
        seq=2,
    )
    _bent_pack(plan)


def _bent_pack(plan: Plan) -> None:
    # A pack that is no good: the bundle is taken.
    bent = bytearray(plan.pack("one", "two").popitem()[1])
    bent[-20] ^= 1
    plan.act(
        "pack-bent",
        base="first",
        desired=plan.order("two", seq=2),
        paths=plan.bundle("two") | {plan.pack("one", "two").popitem()[0]: bytes(bent)},
        asks=["/pack/2?from=", "/bundle"],
        may_start=[ONE, TWO],
        ends=TWO,
        seq=2,
    )


def _losses(plan: Plan) -> None:
    """A flash that is full, and files that are gone or torn."""
    order = {"desired": plan.order("two", seq=2), "paths": plan.bundle("two") | plan.pack("one", "two")}
    for name, blocks, seq in (("full", 0, None), ("last-block", 1, None), ("low-space", 12, 2)):
        edits = [("/data/filler", blocks)]
        plan.act(name, base="first", edits=edits, may_start=[ONE], ends=ONE, seq=seq, **order)
    plan.act("tight-space", base="first", edits=[("/data/filler", 40)], may_start=[ONE, TWO], ends=TWO, seq=2, **order)
    again = {**order, "desired": plan.order("two", seq=3), "edits": [("/data/filler", None)]}
    plan.act("space-again", base="low-space", may_start=[ONE, TWO], ends=TWO, seq=3, **again)
    for name, content in (("state-lost", None), ("state-torn", b'{"active": "b", "a": nul'), ("state-empty", b"")):
        lost: list[tuple[str, bytes | int | None]] = [("/kiln/state.json", content)]
        plan.act(name, base="update", edits=lost, may_start=[TWO], ends=TWO, seq=2, **order)
    plan.act(
        "keys-lost", base="first", edits=[("/kiln/trust.json", None)], may_start=[ONE, TWO], ends=TWO, seq=2, **order
    )
    _lost_before_an_order(plan)
    _lost_on_trial(plan)


def _lost_on_trial(plan: Plan) -> None:
    # By the release itself, which restarts then. The order stands, and is not followed again.
    plan.release("forgets", 3, "import os\nos.remove('/kiln/state.json')\nraise SystemExit(3)\n")
    plan.act(
        "forgets",
        base="first",
        desired=plan.order("forgets", seq=2),
        paths=plan.bundle("forgets"),
        may_start=[ONE, ("forgets", "first")],
        ends=ONE,
        seq=2,
    )


def _lost_before_an_order(plan: Plan) -> None:
    # The order waits, and what it would be followed by is gone.
    bad = plan.order("raises", seq=3)
    plan.act(
        "state-lost-order",
        base="update",
        edits=[("/kiln/state.json", None), ("/kiln/order.3", b"1\n" + bad)],
        desired=bad,
        paths=plan.bundle("raises"),
        may_start=[TWO, ("raises", "first")],
        ends=TWO,
        seq=3,
    )
