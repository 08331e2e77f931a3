"""The decisions of a roll-out, whatever devices and people do, over a crowd in memory."""

import dataclasses
import datetime
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.domain import rollout as domain
from service.domain.rollout import RolloutState, RowState, next_step
from service.domain.rollout_counts import Counts, Look
from service.domain.rollout_plan import Candidate, Plan, Stage, assigned
from tests.unit.service.rollout_values import NOW, rollout

LIVED: set[type] = set()  # what was decided in any life
COMMON = {domain.Start, domain.Draw, domain.Tell, domain.Pass, domain.GoOn, domain.Wait, domain.Finish}
TERMINAL = (RowState.DONE, RowState.FAILED, RowState.LEFT)
PLANS = st.builds(
    lambda stages, rest, per_minute: Plan(stages=(*stages, rest), per_minute=per_minute, stage_timeout_s=600),
    st.lists(
        st.builds(
            Stage,
            count=st.integers(1, 3),
            soak_s=st.sampled_from([0, 90]),
            success_percent=st.sampled_from([50.0, 100.0]),
            error_count=st.sampled_from([0, 1, 2]),
            approval=st.booleans(),
        )
        | st.builds(Stage, tag=st.just("bench"), success_percent=st.sampled_from([0.0, 50.0, 100.0]))
        | st.builds(Stage, percent=st.sampled_from([10.0, 30.0]), error_percent=st.sampled_from([0.0, 20.0, 50.0])),
        min_size=1,
        max_size=3,
    ),
    st.builds(Stage, error_percent=st.sampled_from([0.0, 20.0]), error_count=st.sampled_from([0, 3])),
    st.sampled_from([0, 0, 6, 120]),
)


@dataclasses.dataclass
class Device:
    stage: int
    state: RowState = RowState.PENDING
    connected: bool = True
    heard: bool = False
    excused: bool = False
    was_set_aside: bool = False
    is_tagged: bool = False
    ordered_at: datetime.datetime = NOW


class Life(RuleBasedStateMachine):
    """A roll-out in memory: its steps are done as the database does them, devices and people do what they like."""

    @initialize(plan=PLANS, count=st.integers(0, 12), tagged=st.integers(0, 3))
    def begin(self, plan: Plan, count: int, tagged: int) -> None:
        tags = {str(number): frozenset(["bench"] if number < tagged else []) for number in range(count)}
        stages = assigned(1, plan, [Candidate(id=name, tags=each) for name, each in tags.items()])
        self.devices = {name: Device(stage, is_tagged=bool(tags[name])) for name, stage in stages.items()}
        self.now = NOW
        waiting = {"state": RolloutState.WAITING, "started_at": None, "stage_at": None}
        self.rollout = rollout(plan, **waiting)
        self.orders: list[datetime.datetime] = []

    def of(self, stage: int) -> list[Device]:
        return [each for each in self.devices.values() if each.stage == stage]

    def counts(self) -> list[Counts]:
        found = []
        for stage in range(len(self.rollout.plan.stages)):
            mine = self.of(stage)
            values = {s.value: sum(each.state is s and not each.excused for each in mine) for s in RowState}
            unheard = [each for each in mine if each.state is RowState.ORDERED and not each.heard]
            old = [each for each in unheard if (self.now - each.ordered_at).total_seconds() > 600]
            away = sum(not each.connected for each in unheard)
            excused = sum(each.excused for each in mine)
            found.append(Counts(**values, excused=excused, silent=len(old), offline=away))
        return found

    def due(self) -> list[Device]:
        mine = [each for each in self.devices.values() if each.stage <= self.rollout.stage]
        return [each for each in mine if each.state is RowState.PENDING]

    def look(self) -> Look:
        later = [each for each in self.devices.values() if each.stage > self.rollout.stage]
        awake = any(each.state is RowState.PENDING and each.connected for each in later)
        joins = bool(self.joining()) and self.rollout.passed_at is None
        before = [each for each in self.devices.values() if each.stage < self.rollout.stage and each.is_tagged]
        named = bool(self.rollout.plan.stages[self.rollout.stage].tag)
        proved = named and any(each.state is RowState.DONE for each in before)
        return Look(is_due=bool(self.due()), awake=awake, joins=joins, proved=proved)

    def joining(self) -> list[Device]:
        if not self.rollout.plan.stages[self.rollout.stage].tag:
            return []
        later = [each for each in self.devices.values() if each.stage > self.rollout.stage and each.is_tagged]
        return [each for each in later if each.state is RowState.PENDING]

    @rule()
    def advance(self) -> None:
        for _ in range(200):
            before = self.rollout
            decided = next_step(self.rollout, self.counts(), self.now, self.look())
            LIVED.add(type(decided))
            if not self.do(decided):
                break
            assert self.rollout.stage >= before.stage
        else:
            pytest.fail("it comes to no end")

    def change(self, **values: Any) -> None:
        self.rollout = dataclasses.replace(self.rollout, **values)

    def do(self, decided: domain.Step) -> bool:
        """Whether to look again at once."""
        match decided:
            case domain.Draw(count):
                self.draw(count)
            case domain.Gather():
                for each in self.joining():
                    each.stage = self.rollout.stage
            case domain.SetAside():
                self.set_aside()
            case domain.Tell(count):
                self.tell(count)
            case _:
                return self.decide(decided)
        return True

    def decide(self, decided: domain.Step) -> bool:
        values: dict[str, Any] = {}
        match decided:
            case domain.Start():
                values = {"state": RolloutState.RUNNING, "started_at": self.now, "stage_at": self.now}
            case domain.Pass():
                values = {"passed_at": self.now}
            case domain.GoOn(stage):
                self.see_proof(self.rollout.stage)
                values = {"state": RolloutState.RUNNING, "stage": stage, "stage_at": self.now, "passed_at": None}
            case domain.Halt():
                values = {"state": RolloutState.PAUSED}
            case domain.Finish():
                values = {"state": RolloutState.FINISHED, "finished_at": self.now}
            case domain.Wait(_, state):
                values = {"state": state}
            case _:
                assert decided is None
        self.change(**values)
        return isinstance(decided, domain.Start | domain.Pass | domain.GoOn)

    def see_proof(self, number: int) -> None:
        """A tag that nobody has lets nobody else be told, unless somebody said so or nothing was to be proved."""
        stage, before = self.rollout.plan.stages[number], [*self.devices.values()]
        took_part = [each for each in before if each.stage <= number and each.state is not RowState.LEFT]
        others = [each for each in before if each.stage > number and each.state in (RowState.PENDING, RowState.HELD)]
        if stage.tag and stage.success_percent and others and self.rollout.approved <= number + 1:
            assert took_part

    def draw(self, count: int) -> None:
        for each in self.of(self.rollout.stage):
            each.stage += each.state is RowState.HELD
        later = [each for each in self.devices.values() if each.stage > self.rollout.stage]
        free = [each for each in later if each.state is RowState.PENDING]
        for each in sorted(free, key=lambda device: not device.connected)[:count]:
            each.stage = self.rollout.stage

    def set_aside(self) -> None:
        mine = [each for each in self.of(self.rollout.stage) if each.state is RowState.ORDERED and not each.heard]
        mine[0].stage += 1
        mine[0].was_set_aside = True

    def tell(self, count: int) -> None:
        assert self.rollout.state is not RolloutState.PAUSED
        told = self.due()[:count]
        for each in told:
            each.state, each.ordered_at, each.heard = RowState.ORDERED, self.now, False
            self.orders.append(self.now)
        self.change(paced_at=domain.spent(self.rollout, self.now, len(told)))

    @precondition(lambda self: any(each.state is RowState.ORDERED for each in self.devices.values()))
    @rule(data=st.data(), outcome=st.sampled_from([RowState.DONE, RowState.DONE, RowState.FAILED, None]))
    def report(self, data: st.DataObject, outcome: RowState | None) -> None:
        told = [name for name, each in self.devices.items() if each.state is RowState.ORDERED]
        device = self.devices[data.draw(st.sampled_from(told))]
        device.heard = True
        if outcome is not None:
            device.state = outcome
        self.advance()

    @precondition(lambda self: bool(self.devices))
    @rule(data=st.data())
    def come_or_go(self, data: st.DataObject) -> None:
        device = self.devices[data.draw(st.sampled_from(sorted(self.devices)))]
        device.connected = not device.connected

    @rule(data=st.data())
    def hold_or_leave(self, data: st.DataObject) -> None:
        waiting = [name for name, each in self.devices.items() if each.state in (RowState.PENDING, RowState.HELD)]
        if waiting and not self.rollout.is_over:
            states = st.sampled_from([RowState.HELD, RowState.PENDING, RowState.LEFT])
            self.devices[data.draw(st.sampled_from(waiting))].state = data.draw(states)

    @precondition(lambda self: bool(self.devices))
    @rule(data=st.data())
    def tag(self, data: st.DataObject) -> None:
        self.devices[data.draw(st.sampled_from(sorted(self.devices)))].is_tagged = True

    @rule()
    def join(self) -> None:
        if not self.rollout.is_over:
            name = f"late-{len(self.devices)}"
            self.devices[name] = Device(len(self.rollout.plan.stages) - 1)

    @rule(seconds=st.sampled_from([1, 30, 700]))
    def wait(self, seconds: int) -> None:
        self.now += datetime.timedelta(seconds=seconds)
        self.advance()

    @rule()
    def pause(self) -> None:
        if not self.rollout.is_over:
            self.change(state=RolloutState.PAUSED)

    @rule()
    def resume(self) -> None:
        if self.rollout.state is RolloutState.PAUSED:
            for each in self.devices.values():
                each.excused = each.state is RowState.FAILED
            started = self.rollout.started_at is not None
            self.change(state=RolloutState.RUNNING if started else RolloutState.WAITING)
            self.advance()

    @rule()
    def approve(self) -> None:
        if self.rollout.state is RolloutState.WAITING:
            self.change(approved=1 if self.rollout.started_at is None else self.rollout.stage + 2)
            self.advance()

    @invariant()
    def no_more_are_told_than_stages_allow(self) -> None:
        """Who was set aside was told for an earlier stage, and may come into a next one that is by count, too."""
        for number, (stage, counts) in enumerate(zip(self.rollout.plan.stages, self.counts(), strict=True)):
            aside = sum(each.was_set_aside for each in self.of(number))
            assert not stage.count or counts.drawn <= stage.count + aside
        later = [each for each in self.devices.values() if each.stage > self.rollout.stage]
        told = [each for each in later if each.state not in (RowState.PENDING, RowState.HELD, RowState.LEFT)]
        assert all(each.was_set_aside for each in told)

    @invariant()
    def no_more_are_told_than_a_minute_allows(self) -> None:
        per_minute = self.rollout.plan.per_minute
        if per_minute and self.orders:
            last = self.orders[-1]
            recent = [each for each in self.orders if last - each < datetime.timedelta(minutes=1)]
            assert len(recent) <= per_minute + per_minute * domain.BURST_S / 60 + 1

    @invariant()
    def finished_is_an_end(self) -> None:
        if self.rollout.state is RolloutState.FINISHED:
            assert all(each.state in TERMINAL for each in self.devices.values())

    @invariant()
    def errors_stop_it(self) -> None:
        """Beyond its threshold nobody is told: what failed more was told before."""
        counts = self.counts()
        if self.rollout.started_at is not None and domain._too_many(self.rollout.plan, counts):
            decided = next_step(self.rollout, counts, self.now, self.look())
            assert decided is None or isinstance(decided, domain.Halt)


def test_whatever_happens_a_roll_out_keeps_its_promises() -> None:
    """And it did go on: a life in which nothing happens would keep every promise."""
    LIVED.clear()
    run_state_machine_as_test(Life, settings=settings(max_examples=100, stateful_step_count=30))

    assert LIVED >= COMMON
