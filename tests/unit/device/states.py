"""States of a board."""

from typing import Any

from ota import moves, wants

OLD = {"release": "1" * 64, "version": "1.0.0", "counter": 1}
NEW = {"release": "2" * 64, "version": "2.0.0", "counter": 2}
CONFIG = "c" * 64


def confirmed() -> dict[str, Any]:
    kept: dict[str, Any] = moves.empty()
    kept.update(active="a", a=dict(OLD), counter=1, seq=4, wanted=OLD["release"])
    return kept


def on_trial() -> dict[str, Any]:
    kept = confirmed()
    wants.want(kept, {"seq": 5, "release": NEW["release"]})
    moves.begin_trial(kept, dict(NEW))
    return kept


def with_new_configuration(*, release: bool) -> dict[str, Any]:
    kept = confirmed()
    kept["configs"]["a"] = CONFIG
    moves.begin_trial(kept, dict(NEW) if release else None, "a")
    return kept
