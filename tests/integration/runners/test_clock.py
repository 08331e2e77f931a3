"""Row 17: somebody sets the clock of the machine while jobs run. Time limits are kept all the same."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator

import pytest

from runners.contract.job import Job, Outcome
from runners.docker_engine import DockerEngine
from runners.engine import ContainerSpec
from runners.recipes.snapshot import Snapshot
from service.adapters.clock import SystemClock
from tests.integration.runners.conftest import Bench, Shell

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("shell_image")]

DAY = datetime.timedelta(days=1)


@contextlib.contextmanager
def bench_at(now: Callable[[], datetime.datetime]) -> Iterator[Bench]:
    made = Bench(DockerEngine.connect(now=now))
    yield made
    for job in made.engine.jobs(made.name):
        made.engine.remove(job)
    made.engine.close()


def job(bench: Bench, text: str, *, time_s: float) -> Job:
    known = bench.job({"build.sh": text.encode()}).to_json()
    return Job.from_json({**known, "limits": {**known["limits"], "time_s": time_s}})


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
def test_row_17_a_clock_that_is_set_changes_nothing_for_a_job_that_runs(jump: datetime.timedelta) -> None:
    began = time.monotonic()

    def now() -> datetime.datetime:
        return SystemClock().now() + (jump if time.monotonic() - began > 0.5 else datetime.timedelta())

    with bench_at(now) as bench:
        good = bench.run(job(bench, "sleep 1; mkdir -p ../out; echo 1 > ../out/a", time_s=60.0))
        endless = bench.run(job(bench, "while :; do :; done", time_s=2.0))

    assert good.outcome is Outcome.SUCCEEDED
    assert (endless.outcome, endless.message) == (Outcome.TIMED_OUT, "still running after 2 s")
    assert 1.9 < endless.seconds < 60


def test_row_17_a_job_that_is_met_again_after_the_clock_was_set_back_still_ends() -> None:
    """Its age is told by the clock. Set back, it counts as new, so it runs at most twice its time."""
    with bench_at(lambda: SystemClock().now() - DAY) as bench:
        endless = job(bench, "echo begun; while :; do :; done", time_s=3.0)
        image = bench.engine.image(Shell.image)
        tree = Shell().stage(endless, Snapshot.parse(bench.service.fetch(endless.source)), image).tree
        spec = ContainerSpec(job=endless.id, runner=bench.name, image=image.name, limits=endless.limits)
        first = bench.engine.start(spec)
        first.feed(tree)
        with contextlib.closing(first.log(timeout_s=120)) as log:  # type: ignore[type-var]  # a generator
            assert next(log) == b"begun\n"

        result = bench.runner().run(endless)
        first.remove()

    assert result.outcome is Outcome.TIMED_OUT
    assert result.seconds < 60
