"""Steer: what people decide about roll-outs."""

from collections.abc import Collection

from service.domain.audit import Deed, Noted
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.repository import RepositoryId
from service.domain.rollout import Rollout, RolloutId, RolloutState, awaits
from service.domain.rollout_plan import Plan, Stage
from service.flows.announce import MAX_TRIES
from service.flows.rollout_parts import KILN, Parts, noted


def plan(repository: RepositoryId, channel: str, wanted: Plan | None, parts: Parts, *, by: str) -> Plan | None:
    """How releases are rolled out that come to this channel from now on. None: as by default.

    Raises: BadInputError: a group that there is not.
    """
    if wanted is not None:
        nobody(repository, channel, wanted, parts)
    stages = ", then ".join(each.name for each in wanted.stages) if wanted else "as by default"
    deed = Deed(who=by, what="rollout.planned", repository=repository, subject=channel, detail=stages)
    parts.rollouts.set_plan(repository, channel, wanted, deed=(deed, parts.clock.now()))
    return wanted


def nobody(repository: RepositoryId, channel: str, wanted: Plan, parts: Parts, known: Collection[Stage] = ()) -> str:
    """What is to be said of stages by tag or group that would have nobody now; empty: each has somebody.

    Raises: BadInputError: a group that there is not, unless that stage was `known` before.
    """
    empty = []
    for number, stage in enumerate(wanted.stages, 1):
        if not (stage.tag or stage.group) or stage.whom in [each.whom for each in known]:
            continue
        try:
            if not parts.crowd.meant(repository, channel, stage) and stage.success_percent:
                empty.append(f"{number} ({stage.name})")
        except NotFoundError as error:
            raise BadInputError(f"stage {number}: {error}; `kiln groups add` makes one") from error
    if not empty:
        return ""
    which = f"stage{'s' if len(empty) > 1 else ''} {', '.join(empty)}"
    return f"no device of {channel} is in {which} now: a roll-out waits there until one is, or somebody approves"


def replan(name: RolloutId, wanted: Plan, parts: Parts, *, by: str) -> Rollout:
    """Another plan for one roll-out. Once it began, the devices of its stages stay what they are; all else may change.

    Raises: NotFoundError, ConflictError, BadInputError.
    """
    rollout = _open(name, parts)
    nobody(rollout.repository, rollout.channel, wanted, parts, known=rollout.plan.stages)
    if rollout.started_at is not None and [each.whom for each in wanted.stages] != [
        each.whom for each in rollout.plan.stages
    ]:
        raise ConflictError(f"roll-out {name} began: its stages keep their devices, all else may change")
    stages = ", then ".join(each.name for each in wanted.stages)
    with parts.alone:  # or devices would be written down by the older one meanwhile
        done = parts.rollouts.replan(rollout, wanted, deed=noted(rollout, "replanned", parts, by=by, detail=stages))
    if not done:
        raise _moved(rollout)
    return parts.rollouts.get(name)


def pause(name: RolloutId, parts: Parts, *, by: str) -> Rollout:
    """Nobody is told any more; who was told goes on. Raises: NotFoundError, ConflictError."""
    rollout = _open(name, parts)
    if rollout.state is RolloutState.PAUSED:
        return rollout
    return _changed(rollout, "paused", parts, by=by, state=RolloutState.PAUSED, why=f"paused by {by}")


def resume(name: RolloutId, parts: Parts, *, by: str) -> Rollout:
    """Go on; what has failed up to now stops it no more. Raises: NotFoundError, ConflictError."""
    rollout = _open(name, parts)
    if rollout.state is not RolloutState.PAUSED:
        return rollout
    parts.crowd.excuse(name)
    state = RolloutState.WAITING if rollout.started_at is None else RolloutState.RUNNING
    return _changed(rollout, "resumed", parts, by=by, state=state, why="")


def abort(name: RolloutId, parts: Parts, *, by: str, why: str = "") -> Rollout:
    """For good. Raises: NotFoundError, ConflictError."""
    rollout = _open(name, parts)
    reason = why or f"aborted by {by}"
    return _changed(rollout, "aborted", parts, by=by, detail=why, state=RolloutState.ABORTED, why=reason)


def stop(build: BuildId, why: str, parts: Parts) -> None:
    """Abort whatever still brings this release to devices. Raises: ConflictError when it is changed all the time."""
    for each in parts.rollouts.of_build(build):
        seen, tries = each, 0
        while seen.state.is_open:  # it may go on, or somebody may pause it, at the same moment
            deed = noted(seen, "aborted", parts, by=KILN, detail=why)
            if not parts.rollouts.change(seen, deed=deed, state=RolloutState.ABORTED, why=why) and tries == MAX_TRIES:
                raise _moved(seen)
            seen, tries = parts.rollouts.get(each.id), tries + 1


def approve(name: RolloutId, parts: Parts, *, by: str) -> Rollout:
    """Let the stage begin that waits for it. Raises: NotFoundError, ConflictError."""
    rollout = _open(name, parts)
    stage = awaits(rollout, parts.crowd.totals(rollout))
    if stage is None:
        raise ConflictError(f"roll-out {name} does not wait for an approval now")
    return _changed(rollout, "approved", parts, by=by, detail=f"stage {stage + 1}", approved=stage + 1)


def retry(name: RolloutId, devices: Collection[DeviceId] | None, parts: Parts, *, by: str) -> tuple[Rollout, int]:
    """Those that failed, or some of them, have another try; how many. Raises: NotFoundError, ConflictError."""
    rollout = parts.rollouts.get(name)
    newest = parts.rollouts.newest(rollout.repository, rollout.channel)
    is_finished = rollout.state is RolloutState.FINISHED
    if newest is None or newest.id != name or not (rollout.state.is_open or is_finished):
        raise ConflictError(f"roll-out {name} is {rollout.state.value}: its devices get what came later")

    def deed(count: int) -> Noted:
        return noted(rollout, "retried", parts, by=by, detail=f"{count} devices")

    count = parts.crowd.retry(rollout, devices, now=parts.clock.now(), deed=deed)
    if count is None:
        raise _moved(rollout)
    if not count:
        who = "nobody" if devices is None else "none of these"
        raise ConflictError(f"{who} failed in roll-out {name}: `kiln rollouts devices {name}` says how each ended")
    return parts.rollouts.get(name), count


def _open(name: RolloutId, parts: Parts) -> Rollout:
    rollout = parts.rollouts.get(name)
    if not rollout.state.is_open:
        raise ConflictError(f"roll-out {name} is {rollout.state.value}")
    return rollout


def _changed(rollout: Rollout, what: str, parts: Parts, *, by: str, detail: str = "", **values: object) -> Rollout:
    if not parts.rollouts.change(rollout, deed=noted(rollout, what, parts, by=by, detail=detail), **values):
        raise _moved(rollout)
    return parts.rollouts.get(rollout.id)


def _moved(rollout: Rollout) -> ConflictError:
    return ConflictError(f"roll-out {rollout.id} was changed at this moment: look at it, and say so again")
