"""Roll-outs as JSON."""

from collections.abc import Sequence
from typing import Any

from service.domain.rollout import Rollout, RowState, awaits
from service.domain.rollout_counts import Counts
from service.records.rollouts import Row

STATES = ("pending", "ordered", "done", "failed", "held", "left")


def rollout(value: Rollout, version: str) -> dict[str, Any]:
    return {
        "id": value.id,
        "repository": value.repository,
        "channel": value.channel,
        "build": value.build,
        "version": version,
        "state": value.state.value,
        "why": value.why or None,
        "stage": value.stage + 1,
        "stages": len(value.plan.stages),
        "created_at": value.created_at.isoformat(),
        "created_by": value.created_by or None,
        "started_at": value.started_at.isoformat() if value.started_at else None,
        "finished_at": value.finished_at.isoformat() if value.finished_at else None,
        "undone_by": value.undone_by,
    }


def whole(
    value: Rollout, version: str, stages: Sequence[Counts], failed: Sequence[Row], trying: Sequence[Row]
) -> dict[str, Any]:
    """`failed` and `trying` are the first of those that failed, and of those that were told and have no outcome."""
    shown = [counts(each) for each in stages]
    return {
        **rollout(value, version),
        "is_filled": value.is_filled,
        "approval": _approval(value, stages),
        "counts": {name: sum(each[name] for each in shown) for name in STATES},
        "items": [
            {"number": number, "name": stage.name, **each}
            for number, (stage, each) in enumerate(zip(value.plan.stages, shown, strict=True), 1)
        ],
        "failures": [row(each) for each in failed],
        "unheard": [row(each) for each in trying],
        "plan": value.plan.to_json(),
    }


def _approval(value: Rollout, stages: Sequence[Counts]) -> int | None:
    """The stage that waits for an approval now, from 1."""
    following = awaits(value, stages)
    return None if following is None else following + 1


def counts(value: Counts) -> dict[str, int]:
    """Who failed and was passed over by somebody's word has failed all the same."""
    found = {name: getattr(value, name) for name in STATES}
    return {**found, "failed": value.failed + value.excused}


def row(value: Row) -> dict[str, Any]:
    return {
        "device": value.device,
        "stage": value.stage + 1,
        "state": value.state.value,
        "reason": value.reason or None,
        "tries": value.tries,
        "heard": value.is_heard if value.state is RowState.ORDERED else None,
        "since": value.at.isoformat(),
    }
