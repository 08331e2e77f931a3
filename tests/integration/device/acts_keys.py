"""Acts in which keys change hands, and time is told."""

from typing import Any

from tests.integration.device.plan import Plan, application, key, trust

ONE, TWO = ("one", "first"), ("two", "first")
TOP = (1 << 31) - 1  # the highest counter there is
NOON = 1_800_000_000  # Unix seconds


def keys(plan: Plan) -> None:
    """Root documents: walked one by one, with other root keys, and one that nobody may believe."""
    for number in (2, 3):
        files = application(20 + number)
        plan.add(f"by-{number}", files, counter=2, signer=f"release-{number}")
    second = plan.root(trust(2))
    _rotated(plan, "rotate", 2, second, trust(2))
    _rotated(plan, "rotate-twice", 3, second | plan.root(trust(3)), trust(3))
    other_root = {**trust(2), "root": trust(3, root=[key("root-2")])["root"]}
    _rotated(plan, "rotate-root", 2, plan.root(other_root, "root", "root-2"), other_root)
    # Signed by somebody else: no update, and the keys stay as they are.
    plan.act(
        "rotate-bad",
        base="first",
        desired=plan.order("two", seq=2),
        paths=plan.bundle("two") | plan.root(trust(2), "stranger"),
        may_start=[ONE],
        ends=ONE,
        seq=1,
    )
    _stolen(plan)


def time(plan: Plan) -> None:
    """Signed time: an order that is past, and one that somebody holds back."""
    paths = plan.bundle("two") | plan.time(NOON, 2)
    past = plan.order("two", seq=2, expires=NOON - 1)
    asks = ["/time?nonce="]
    plan.act("expired", base="first", desired=past, paths=paths, may_start=[ONE], ends=ONE, seq=1, asks=asks)
    held = plan.order("two", seq=2, expires=NOON + 1)
    plan.act(
        "held-back",
        base="first",
        desired=plan.order("one", seq=1),
        paths={**paths, "/ota/v1/devices/d1/desired": held},
        may_start=[ONE, TWO],
        ends=TWO,
        seq=2,
        asks=[*asks, "/d1/desired"],
    )


def _rotated(plan: Plan, name: str, number: int, roots: dict[str, bytes], says: dict[str, Any]) -> None:
    ends = (f"by-{number}", "first")
    plan.act(
        name,
        base="first",
        desired=plan.order(ends[0], seq=2, signer=f"director-{number}"),
        paths=plan.bundle(ends[0]) | roots,
        may_start=[ONE, ends],
        ends=ends,
        seq=2,
        trust=[says],
    )


def _stolen(plan: Plan) -> None:
    # Whoever stole the keys uses up the counters; with new keys in a new epoch they begin again.
    plan.release("high", TOP)
    high, after = ("high", "first"), ("after", "first")
    plan.act(
        "stolen",
        base="first",
        desired=plan.order("high", seq=TOP),
        paths=plan.bundle("high"),
        may_start=[ONE, high],
        ends=high,
        seq=TOP,
    )
    plan.add("after", application(30), counter=5, signer="release-2")
    says = trust(2, epochs=(2, 2))
    plan.act(
        "stolen-answered",
        base="stolen",
        desired=plan.order("after", seq=1, signer="director-2"),
        paths=plan.bundle("after") | plan.root(says),
        may_start=[high, after],
        ends=after,
        seq=1,
        trust=[says],
    )
