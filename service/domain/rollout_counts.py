"""What is to be known of the devices of a roll-out, and whether a stage proved anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.rollout_plan import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Devices of one stage."""

    pending: int = 0
    ordered: int = 0
    done: int = 0
    failed: int = 0
    excused: int = 0  # failed, and somebody said to go on nevertheless
    held: int = 0
    left: int = 0
    silent: int = 0  # of the ordered: never heard, for longer than the plan's time
    offline: int = 0  # of the ordered: never heard, not connected, and ordered for longer than `AWAY_S`

    @property
    def taking_part(self) -> int:
        return self.pending + self.ordered + self.done + self.failed

    @property
    def drawn(self) -> int:
        """Places of a stage by count that are taken."""
        return self.taking_part + self.excused


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is to be known besides counts."""

    is_due: bool = False  # somebody whose turn has come can be told now
    awake: bool = False  # somebody of a later stage is connected
    joins: bool = False  # somebody of a later stage has this one's tag, or is in its group, by now
    proved: bool = False  # somebody of an earlier stage has them, too, and runs the release


def came_to_all(stages: Sequence[Counts]) -> bool:
    """Everybody was told; some run the release, and of the others of the last stage nothing was heard for long.

    Then it is known to be good, though its roll-out has no end: a dead board, say, is ordered for ever.
    """
    last = stages[-1]
    waits = any(each.pending for each in stages) or last.ordered > last.silent
    return not waits and any(each.done for each in stages)


def has_passed(success_percent: float, counts: Counts) -> bool:
    """Who sleeps does not count, if anybody was heard. A stage of held devices alone proves nothing."""
    of = counts.taking_part - (counts.silent if counts.done else 0)
    if of == 0:
        return not counts.held
    return bool(counts.done) and counts.done * 100 >= success_percent * of


def is_empty(plan: Sequence[Stage], stage: int, counts: Sequence[Counts]) -> bool:
    """Whether nobody takes part in a stage that was to prove something to others.

    A mistyped tag, say, or all that have it are pinned. A stage by percent whose devices an earlier one drew is none.
    """
    mine, here = plan[stage], counts[stage]
    if here.drawn or here.held or not mine.success_percent or mine.count:
        return False
    if mine.percent and any(each.drawn for each in counts[:stage]):
        return False
    return any(each.pending or each.held for each in counts[stage + 1 :])
