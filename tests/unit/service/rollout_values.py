"""A roll-out as a value."""

import datetime
from typing import Any

from service.domain.build import BuildId
from service.domain.repository import RepositoryId
from service.domain.rollout import Rollout, RolloutId, RolloutState
from service.domain.rollout_plan import DEFAULT, Plan

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def rollout(plan: Plan = DEFAULT, **values: Any) -> Rollout:
    given: dict[str, Any] = {
        "id": RolloutId(1),
        "repository": RepositoryId("local/acme/blink"),
        "channel": "beta",
        "build": BuildId(1),
        "counter": 1,
        "plan": plan,
        "state": RolloutState.RUNNING,
        "created_at": NOW,
        "started_at": NOW,
        "stage_at": NOW,
        "is_filled": True,
    }
    return Rollout(**{**given, **values})
