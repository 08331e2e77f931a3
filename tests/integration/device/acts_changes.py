"""Acts in which more changes than the application: settings, the line to the broker, the agent."""

from tests.fakes.configurations import FakeConfiguration
from tests.integration.device.plan import Plan

ONE, TWO = ("one", "first"), ("two", "first")
AWAY = {"host": "nobody", "port": 1883}


def settings(plan: Plan) -> None:
    """New settings alone and with a release, and those that must come back by themselves."""
    second = plan.configuration("second")
    lost = plan.configuration("lost", device={"mqtt": AWAY, "base": "http://nobody"})
    _configured(plan, "settings", "one", second, may_start=[ONE, ("one", "second")], ends=("one", "second"))
    _configured(plan, "settings-and-release", "two", second, may_start=[ONE, ("two", "second")], ends=("two", "second"))
    _configured(plan, "settings-lost-line", "one", lost, may_start=[ONE, ("one", "lost")], ends=ONE)
    _configured(plan, "release-lost-line", "two", lost, may_start=[ONE, ("two", "lost")], ends=ONE)
    _configured(plan, "settings-and-bad-release", "raises", second, may_start=[ONE, ("raises", "second")], ends=ONE)
    enrolled = [("two", "second"), TWO]
    order, paths = plan.order("two", seq=3), plan.bundle("two")
    # An order without a configuration: what was enrolled is in force again.
    plan.act(
        "settings-taken-back",
        base="settings-and-release",
        desired=order,
        paths=paths,
        may_start=enrolled,
        ends=TWO,
        seq=3,
    )


def agents(plan: Plan) -> None:
    """Another agent: one that works, and those that the loader must leave."""
    plan.agent("agent-good", 2, {"reason": "GOOD = True\n"})
    plan.agent("agent-broken", 3, {"__init__": "import nothing\n"})
    plan.agent("agent-mute", 3, {"voice": "Voice.speak = lambda self, agent: False\n"})
    for name, stays in (("good", "agent-good"), ("broken", "factory"), ("mute", "factory")):
        made = plan.configuration("second", agent="agent-" + name)
        allowed = [ONE, ("one", "second")]
        more = plan.bundle("agent-" + name)
        _configured(
            plan, f"agent-{name}", "one", made, may_start=allowed, ends=("one", "second"), agent=stays, more=more
        )
    # From one agent to the next, and a release after that.
    plan.agent("agent-next", 4, {"reason": "NEXT = True\n"})
    made = plan.configuration("third", agent="agent-next")
    plan.act(
        "agent-next",
        base="agent-good",
        desired=plan.order("two", seq=3, config=made.digest),
        paths=plan.bundle("two", "agent-next") | plan.settings(made),
        may_start=[("one", "second"), ("two", "third")],
        ends=("two", "third"),
        seq=3,
        agent="agent-next",
        share=0.3,
    )


def _configured(
    plan: Plan,
    name: str,
    release: str,
    made: FakeConfiguration,
    *,
    may_start: list[tuple[str, str]],
    ends: tuple[str, str],
    agent: str = "factory",
    more: dict[str, bytes] | None = None,
) -> None:
    # An order with a configuration, for a board that runs release one with what it was enrolled with.
    plan.act(
        name,
        base="first",
        desired=plan.order(release, seq=2, config=made.digest),
        paths=plan.bundle(release) | plan.settings(made) | (more or {}),
        may_start=may_start,
        ends=ends,
        seq=2,
        agent=agent,
        share=0.3 if more else 1.0,
    )
