"""Source and plan of a build, in the orders of checkpoints that builds began in. Steps are durable where it is said."""

from typing import Any

from service.flows.source import Step

_IS_THERE = {"value": None}  # of a step that takes the source: it is kept


def begun(source: Step, plan: Step) -> Step:
    """To be made one durable step: a source that is here at once shares its checkpoint with the plan."""

    def begin(build: int) -> dict[str, Any]:
        said = source(build)
        return {"source": said, "plan": plan(build) if said == _IS_THERE else None}

    return begin


def together(begin: Step, taken: Step, plan: Step, planned: Step) -> Step:
    """`begin` is what `begun` made; `taken` and `planned` are those of `source` and `dependencies`. All are durable."""

    def lay_out(build: int) -> dict[str, Any]:
        said = begin(build)
        outcome = taken(build, said["source"])
        return planned(build, said["plan"] or plan(build)) if outcome == _IS_THERE else outcome

    return lay_out


def one_after_the_other(source: Step, taken: Step, plan: Step, planned: Step) -> Step:
    """The same with a checkpoint for each. All are durable."""

    def lay_out(build: int) -> dict[str, Any]:
        outcome = taken(build, source(build))
        return planned(build, plan(build)) if outcome == _IS_THERE else outcome

    return lay_out
