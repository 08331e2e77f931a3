"""What the verbs of roll-outs are given, and how their decisions are noted."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from service.domain.audit import Deed, Noted
from service.domain.device import Device, DeviceId
from service.domain.notice import Order
from service.domain.release import Release
from service.domain.rollout import Rollout
from service.flows.obstacles import Verdict
from service.ports import Clock, Keys
from service.records import Builds, Channels, Crowd, Fleet, Rollouts

KILN = "kiln"  # who did what nobody asked for

Ordered = tuple[DeviceId, Order]
Judged = tuple[Device, Verdict | None]
Each = Callable[[Callable[[Device], Ordered], list[Device]], Iterable[Ordered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What roll-outs need."""

    builds: Builds
    channels: Channels
    fleet: Fleet
    rollouts: Rollouts
    crowd: Crowd
    keys: Keys
    clock: Clock
    obstacle: Callable[[Device, Release], str]  # why a device must not be told now, for people; empty: it may
    understand: Callable[[Device, Release], Device]  # with settings that were typed before they were declared, read
    each: Each  # as `map`, perhaps several at once
    announced: Callable[[], None]  # wakes whoever drains the outbox
    alone: AbstractContextManager[object]  # one turn at a time: two would sign the same
    stirred: Callable[[], None]  # wakes whoever goes on with roll-outs
    call_back: Callable[[Rollout, "Parts"], bool]  # a turn of ending one that is over; False: all is done


def noted(rollout: Rollout, what: str, parts: Parts, *, by: str, detail: str = "") -> Noted:
    subject = f"{rollout.channel}, roll-out {rollout.id} of build {rollout.build}"
    deed = Deed(who=by, what=f"rollout.{what}", repository=rollout.repository, subject=subject, detail=detail)
    return deed, parts.clock.now()
