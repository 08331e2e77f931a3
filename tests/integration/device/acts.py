"""The acts of a board's whole life, for the power-cut harness."""

from tests.integration.device.plan import BAD, Plan


def whole_life() -> Plan:
    """Everything that a board goes through, each act on the chip that another one left."""
    plan = Plan()
    plan.release("one", 1)
    plan.release("two", 2)
    for kind, body in BAD.items():
        plan.release(kind, 3, body)
    _updates(plan)
    return plan


def _updates(plan: Plan) -> None:
    one, two = ("one", "first"), ("two", "first")
    plan.act("first", desired=plan.order("one", seq=1), paths=plan.bundle("one"), may_start=[one], ends=one, seq=1)
    plan.act(
        "update",
        base="first",
        desired=plan.order("two", seq=2),
        paths=plan.bundle("two"),
        may_start=[one, two],
        ends=two,
        seq=2,
    )
    for name in BAD:
        plan.act(
            name,
            base="first",
            desired=plan.order(name, seq=2),
            paths=plan.bundle(name),
            may_start=[one, (name, "first")],
            ends=one,
            seq=2,
        )
