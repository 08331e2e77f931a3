"""Whatever builds do, whatever fails and whoever dies meanwhile: in the end the forge shows what is so."""

import datetime
import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from runners.contract.job import Outcome, Result
from service.adapters.keys import FileKeys
from service.domain.build import BuildId, Status
from service.domain.errors import ForgeError
from service.domain.mark import Mark, MarkState, Told, is_worth_telling, marks_of
from tests.fakes.forge import away
from tests.unit.service.conftest import World, opened
from tests.unit.service.telling import Stage

BOARDS = ("unix", "esp32-generic")
REFS = ("refs/heads/main", "refs/heads/dev", "refs/tags/v1")
OUTCOMES = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.ERROR)
RANK = {MarkState.WAITING: 0, MarkState.PENDING: 1, MarkState.RUNNING: 2}
NAMES = (
    *("push", "same commit", "plan", "job ends", "build ends", "cancel"),
    *("outage", "limit", "refusal", "fine", "dies while it writes", "restart", "time"),
)
_numbers = itertools.count()


class Died(BaseException):
    """The process, at the worst moment: the forge has it, and nothing was noted."""


class Play:
    """What happens, one act after another. Numbers choose what an act is about."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.made: list[BuildId] = []
        acts: tuple[Callable[[int], object], ...] = (
            *(self.push, self.same, self.plan, self.job_ends, self.build_ends, self.cancel),
            lambda _: self.fails(away()),
            lambda n: self.fails(ForgeError("slow down", retry_after_s=60.0 * n)),
            lambda n: stage.forge.refused.add(("kiln", "kiln/unix")[n % 2]),
            lambda _: self.heal(),
            lambda _: self.dies(),
            lambda _: stage.restart(),
            self.time,
        )
        self.acts = dict(zip(NAMES, acts, strict=True))

    def push(self, n: int) -> None:
        self.made.append(self.stage.world.push(f"push {next(_numbers)}", REFS[n % 3]))

    def same(self, n: int) -> None:
        """The newest commit again: on another branch, as a tag, or re-run."""
        if self.made:
            commit = self.stage.world.builds.build(self.made[-1]).commit
            again = self.stage.world.push(f"push {next(_numbers)}", REFS[n % 3], commit=commit, again=True)
            self.made.append(again)

    def plan(self, n: int) -> None:
        if (build := self.open(n)) is not None:
            self.stage.plan(build, *BOARDS)

    def job_ends(self, n: int) -> None:
        jobs = self.stage.world.builds.jobs(self.made[n % len(self.made)]) if self.made else []
        if jobs and not jobs[n % 2].status.is_final:
            result = Result(job=jobs[n % 2].id, outcome=OUTCOMES[n % 3], message="what it said")
            self.stage.world.builds.end_job(jobs[n % 2].id, result)

    def build_ends(self, n: int) -> None:
        if (build := self.open(n)) is not None:
            self.stage.end(build, (Status.SUCCEEDED, Status.FAILED, Status.SKIPPED)[n % 3])

    def cancel(self, n: int) -> None:
        if (build := self.open(n)) is not None:
            self.stage.world.builds.cancel(build, "cancelled by ada", now=self.stage.world.clock.now())

    def open(self, n: int) -> BuildId | None:
        found = [each for each in self.made if not self.stage.world.builds.build(each).status.is_final]
        return found[n % len(found)] if found else None

    def fails(self, error: ForgeError) -> None:
        self.stage.forge.error = error

    def heal(self) -> None:
        self.stage.forge.error = None
        self.stage.forge.refused.clear()
        self.stage.forge.after_write = lambda _mark: None

    def dies(self) -> None:
        def die(mark: Mark) -> None:
            raise Died(mark)

        self.stage.forge.after_write = die

    def time(self, n: int) -> None:
        for _ in range(n * n):
            try:
                self.stage.pass_time(1)
            except Died:
                self.stage.forge.after_write = lambda _mark: None
                self.stage.restart()

    def finish(self) -> None:
        self.heal()
        for build in self.made:
            if not self.stage.world.builds.build(build).status.is_final:
                self.stage.end(build, Status.SUCCEEDED)
        for _ in range(200):
            if not self.stage.due():
                break
            self.stage.pass_time(20, step_s=20)


def wanted(stage: Stage, build: BuildId) -> dict[str, str]:
    """Context -> state, of what a build has to show at last."""
    record, told = stage.world.builds.build(build), stage.marks.told(build)
    marks = marks_of(record, stage.world.builds.jobs(build), base_url="http://kiln")
    # A mark that was refused stays as it was until the build changes.
    kept = {each.context for each in marks if told.get(each.board, Told()).error}
    worth = [
        each for each in marks if is_worth_telling(each, record, told.get(each.board)) and each.context not in kept
    ]
    return {each.context: each.state.value for each in worth}


def expect_the_truth(stage: Stage, made: list[BuildId]) -> None:
    for build in made:
        record = stage.world.builds.build(build)
        if stage.marks.is_newest_of_commit(record):
            for context, state in wanted(stage, build).items():
                assert stage.forge.shown[(record.commit, context)].state.value == state


def expect_the_order(stage: Stage) -> None:
    """Nothing older is written after something newer: of a later build, or a later state of the same one."""
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for each in stage.forge.writes:
        key = (each.mark.commit, each.mark.context)
        rank = (each.mark.build, RANK.get(each.mark.state, 3))
        assert rank >= last.get(key, (0, 0))
        last[key] = rank


def expect_the_pace(stage: Stage) -> None:
    at = [each.at for each in stage.forge.writes]
    minute = datetime.timedelta(minutes=1)
    assert all(sum(start <= each < start + minute for each in at) <= 180 for start in at)


ACTS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 9)), max_size=30)


@given(acts=ACTS)
@example(acts=[("push", 3), ("dies while it writes", 1), ("time", 2), ("plan", 1), ("cancel", 1), ("time", 2)])
@example(acts=[("push", 3), ("time", 1), ("outage", 1), ("plan", 1), ("job ends", 2), ("time", 9), ("push", 3)])
@example(acts=[("push", 3), ("plan", 1), ("time", 3), ("same commit", 1), ("job ends", 1), ("time", 1)])
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_in_the_end_the_forge_shows_what_is_so(
    acts: list[tuple[str, int]], keys: FileKeys, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(tmp_path_factory.mktemp("play"), keys) as world:
        play = Play(Stage(world))
        for name, number in acts:
            play.acts[name](number)
        play.finish()

        assert play.stage.due() == []
        expect_the_truth(play.stage, play.made)
        expect_the_order(play.stage)
        expect_the_pace(play.stage)


def test_many_teller_deaths_do_not_break_the_pace(world: World) -> None:
    stage = Stage(world)
    for number in range(200):
        stage.world.push(f"p{number}", f"refs/heads/b{number}")
    for _ in range(150):  # two minutes and a half
        stage.pass_time(1, step_s=0.5)
        stage.restart()
    expect_the_pace(stage)
    assert stage.forge.writes
