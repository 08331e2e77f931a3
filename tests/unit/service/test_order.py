"""Source and plan in the orders of checkpoints that builds began in."""

from typing import Any

import pytest

from service.flows import order
from service.flows.source import Step

FETCH: dict[str, Any] = {"value": {"id": "fetch"}}
HERE: dict[str, Any] = {"value": None}
JOBS: dict[str, Any] = {"value": ["job"]}
GONE: dict[str, Any] = {"failed": "the commit is gone"}
ENDED: dict[str, Any] = {"ended": True}


class Steps:
    """Says what it was told to, and remembers which steps were durable by themselves."""

    def __init__(self, source: dict[str, Any], fetched: dict[str, Any] = HERE) -> None:
        self._source = source
        self._fetched = fetched
        self.checkpoints: list[str] = []

    def durable(self, name: str, act: Step) -> Step:
        def run(*arguments: Any) -> dict[str, Any]:
            self.checkpoints.append(name)
            return act(*arguments)

        return run

    def source(self, _build: int) -> dict[str, Any]:
        return self._source

    def plan(self, _build: int) -> dict[str, Any]:
        return JOBS

    def taken(self, _build: int, begun: dict[str, Any]) -> dict[str, Any]:
        return self.durable("fetched", lambda: self._fetched)() if begun == FETCH else begun

    def planned(self, _build: int, said: dict[str, Any]) -> dict[str, Any]:
        return said

    def together(self) -> dict[str, Any]:
        begin = self.durable("begin", order.begun(self.source, self.plan))
        return order.together(begin, self.taken, self.durable("plan", self.plan), self.planned)(1)

    def one_after_the_other(self) -> dict[str, Any]:
        source, plan = self.durable("source", self.source), self.durable("plan", self.plan)
        return order.one_after_the_other(source, self.taken, plan, self.planned)(1)


@pytest.mark.parametrize(
    ("source", "fetched", "outcome", "checkpoints"),
    [
        (HERE, HERE, JOBS, ["begin"]),
        (FETCH, HERE, JOBS, ["begin", "fetched", "plan"]),
        (FETCH, GONE, GONE, ["begin", "fetched"]),
        (GONE, HERE, GONE, ["begin"]),
        (ENDED, HERE, ENDED, ["begin"]),
    ],
)
def test_a_source_that_is_here_is_planned_in_its_own_checkpoint(
    source: dict[str, Any], fetched: dict[str, Any], outcome: dict[str, Any], checkpoints: list[str]
) -> None:
    steps = Steps(source, fetched)

    assert steps.together() == outcome
    assert steps.checkpoints == checkpoints


@pytest.mark.parametrize(
    ("source", "outcome", "checkpoints"),
    [
        (HERE, JOBS, ["source", "plan"]),
        (FETCH, JOBS, ["source", "fetched", "plan"]),
        (GONE, GONE, ["source"]),
        (ENDED, ENDED, ["source"]),
    ],
)
def test_a_build_that_an_older_kiln_began_has_a_checkpoint_for_each(
    source: dict[str, Any], outcome: dict[str, Any], checkpoints: list[str]
) -> None:
    steps = Steps(source)

    assert steps.one_after_the_other() == outcome
    assert steps.checkpoints == checkpoints
