"""How a release is rolled out: its stages, when they begin, and what stops it."""

import datetime
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from service.domain.errors import BadInputError
from service.domain.window import Window

MAX_STAGES = 20
MAX_COUNT = 1_000_000  # devices
MAX_SECONDS = 30 * 24 * 3600
MAX_TRIES = 10
MAX_PER_MINUTE = 100_000
MAX_NAME_CHARS = 64  # of a tag or a group
NOW, APPROVAL = "now", "approval"
_STAGE = ("count", "percent", "tag", "group", "soak_s", "approval", "success_percent", "error_percent", "error_count")
_PLAN = ("start", "stages", "on_errors", "updated", "tries", "per_minute", "jitter_s", "stage_timeout_s", "window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Some devices, by one of four ways, or all that are left."""

    count: int = 0
    percent: float = 0  # of all devices of the roll-out
    tag: str = ""
    group: str = ""
    soak_s: int = 0  # between its success and the next stage
    approval: bool = False  # somebody has to approve before it begins
    success_percent: float = 100  # of its devices must run the release before the next stage
    error_percent: float = 0  # of its devices that may not fail; 0: whatever the share
    error_count: int = 0  # likewise, as a number of devices

    @property
    def is_rest(self) -> bool:
        return not (self.count or self.percent or self.tag or self.group)

    @property
    def whom(self) -> tuple[int, float, str, str]:
        """Which devices it is for."""
        return self.count, self.percent, self.tag, self.group

    @property
    def name(self) -> str:
        """For people."""
        if self.count:
            return f"{self.count} device{'s' if self.count > 1 else ''}"
        if self.percent:
            return f"{self.percent:g} %"
        return f"tag {self.tag}" if self.tag else f"group {self.group}" if self.group else "all the rest"

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _STAGE}
        return {name: value for name, value in values.items() if value != STAGE_DEFAULTS[name]}


STAGE_DEFAULTS: Mapping[str, Any] = {name: getattr(Stage(), name) for name in _STAGE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The stages in their order; the last takes all the rest."""

    stages: tuple[Stage, ...]
    start: str = NOW  # or "approval", or a time as text (ISO 8601)
    on_errors: str = "pause"  # or "abort"
    updated: str = "stay"  # or "roll_back": what an abort does with the devices that run the release
    tries: int = 1  # of each device, before it has failed
    per_minute: int = 0  # devices; 0: no limit
    jitter_s: int = 0  # each device waits for up to that long after its stage began
    stage_timeout_s: int = 3600  # how long a device may not be heard before the others go on without it
    window: Window | None = None

    @property
    def start_at(self) -> datetime.datetime | None:
        return None if self.start in (NOW, APPROVAL) else datetime.datetime.fromisoformat(self.start)

    def needs_approval(self, stage: int) -> bool:
        return self.stages[stage].approval or (stage == 0 and self.start == APPROVAL)

    def to_json(self) -> dict[str, Any]:
        """All of it, also what is as by default: a plan that is kept means the same for ever."""
        values = {name: getattr(self, name) for name in _PLAN if name not in ("stages", "window")}
        stages = [{**each.to_json(), "name": each.name} for each in self.stages]
        return {**values, "window": self.window.to_json() if self.window else None, "stages": stages}

    @classmethod
    def parse(cls, value: Any) -> Self:  # JSON
        """Raises: BadInputError naming what to fix."""
        if not isinstance(value, dict):
            raise BadInputError("a plan is an object")
        _known(value, _PLAN, "a plan")
        stages = value.get("stages", [])
        if not isinstance(stages, list) or not 0 < len(stages) <= MAX_STAGES:
            raise BadInputError(f"'stages' is a list of 1 to {MAX_STAGES} stages")
        plan = cls(
            stages=_checked([_stage(each, place) for place, each in enumerate(stages, 1)]),
            start=_start(value.get("start", NOW)),
            on_errors=_choice(value, "on_errors", ("pause", "abort")),
            updated=_choice(value, "updated", ("stay", "roll_back")),
            tries=_whole(value, "tries", 1, (1, MAX_TRIES)),
            per_minute=_whole(value, "per_minute", 0, (0, MAX_PER_MINUTE)),
            jitter_s=_whole(value, "jitter_s", 0, (0, MAX_SECONDS)),
            stage_timeout_s=_whole(value, "stage_timeout_s", 3600, (60, MAX_SECONDS)),
            window=Window.parse(value["window"]) if value.get("window") is not None else None,
        )
        if plan.stages[0].approval and plan.start != APPROVAL:
            raise BadInputError('stage 1: say start = "approval" instead')
        return plan


def _stage(value: Any, place: int) -> Stage:  # JSON
    where = f"stage {place}"
    if not isinstance(value, dict):
        raise BadInputError(f"{where} is an object")
    _known(value, (*_STAGE, "name"), where)
    approval = value.get("approval", False)
    if not isinstance(approval, bool):
        raise BadInputError(f"{where}: 'approval' is true or false")
    stage = Stage(
        count=_whole(value, "count", 0, (0, MAX_COUNT), where),
        percent=_share(value, "percent", 0, where),
        tag=_name(value, "tag", where),
        group=_name(value, "group", where),
        soak_s=_whole(value, "soak_s", 0, (0, MAX_SECONDS), where),
        approval=approval,
        success_percent=_share(value, "success_percent", 100, where),
        error_percent=_share(value, "error_percent", 0, where),
        error_count=_whole(value, "error_count", 0, (0, MAX_COUNT), where),
    )
    if sum(map(bool, (stage.count, stage.percent, stage.tag, stage.group))) > 1:
        raise BadInputError(f"{where} has one of count, percent, tag and group")
    return stage


def _checked(stages: list[Stage]) -> tuple[Stage, ...]:
    *first, last = stages
    if not last.is_rest:
        raise BadInputError("the last stage takes all the rest: it has no count, percent, tag or group")
    if any(each.is_rest for each in first):
        raise BadInputError("only the last stage takes all the rest: the others have a count, percent, tag or group")
    if sum(each.percent for each in stages) > 100:
        raise BadInputError("the stages have more than 100 percent")
    return tuple(stages)


def _known(value: Mapping[str, Any], names: Collection[str], where: str) -> None:
    for each in value:
        if each not in names:
            raise BadInputError(f"{where} has no {str(each)[:60]!r}; it has {', '.join(names)}")


def _start(value: Any) -> str:  # JSON
    if value in (NOW, APPROVAL):
        return str(value)
    try:
        at = datetime.datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(datetime.UTC).isoformat()
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadInputError('\'start\' is "now", "approval", or a time with its zone, such as 2026-12-01T08:00:00+01:00')


def _choice(value: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    found = value.get(name, choices[0])
    if found not in choices:
        raise BadInputError(f"{name!r} is {' or '.join(choices)}")
    return str(found)


def _name(value: Mapping[str, Any], name: str, where: str) -> str:
    text = value.get(name, "")
    if not isinstance(text, str) or len(text) > MAX_NAME_CHARS or not text.isprintable():
        raise BadInputError(f"{where}: {name!r} is a name of at most {MAX_NAME_CHARS} characters")
    return text


def _whole(value: Mapping[str, Any], name: str, default: int, within: tuple[int, int], where: str = "a plan") -> int:
    number, (low, high) = value.get(name, default), within
    if type(number) is not int or not low <= number <= high:
        raise BadInputError(f"{where}: {name!r} is a whole number from {low} to {high}")
    return number


def _share(value: Mapping[str, Any], name: str, default: float, where: str) -> float:
    number = value.get(name, default)
    if type(number) not in (int, float) or not 0 <= number <= 100:
        raise BadInputError(f"{where}: {name!r} is a number from 0 to 100")
    return float(number)


# One device first, which must succeed; then everybody, and a pause when one in five fails.
DEFAULT = Plan(stages=(Stage(count=1, error_count=1), Stage(error_percent=20)))
AT_ONCE = Plan(stages=(Stage(),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What of a device decides about its stage."""

    id: str
    group: str = ""
    tags: frozenset[str] = field(default=frozenset())


def place(rollout: int, device: str) -> float:
    """Where a device stands in the crowd of one roll-out, from 0 to below 1: by chance, and always the same."""
    return int.from_bytes(hashlib.sha256(f"{rollout}/{device}".encode()).digest()[:7]) / 2**56


def assigned(rollout: int, plan: Plan, devices: Iterable[Candidate]) -> dict[str, int]:
    """The stage of each device, from 0. A stage by count draws its devices when it begins: nobody is in it yet."""
    left = sorted(devices, key=lambda each: (place(rollout, each.id), each.id))
    every = len(left)
    found: dict[str, int] = {}
    for number, stage in enumerate(plan.stages):
        if stage.count:
            continue
        if stage.percent:
            mine = left[: -int(-every * stage.percent // 100)]  # rounded up: 10 % of five devices is one
        elif stage.is_rest:
            mine = left
        else:
            mine = [each for each in left if stage.tag in each.tags or (stage.group and stage.group == each.group)]
        found |= dict.fromkeys((each.id for each in mine), number)
        left = [each for each in left if each.id not in found]
    return found
