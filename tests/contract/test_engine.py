"""One suite for both engines: the one in memory, and Docker."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from runners.contract.job import Blob, Job, Limits
from runners.contract.source import FETCHER, SOURCE_IMAGE
from runners.docker_engine import DockerEngine
from runners.engine import Container, ContainerSpec, Engine
from runners.errors import ContainerTimeoutError, ImageMissingError
from runners.recipes.micropython import MicroPython
from runners.recipes.snapshot import Snapshot
from service.adapters.clock import SystemClock
from tests.fakes.engine import InMemoryEngine


@dataclass(frozen=True, slots=True)
class Bench:
    engine: Engine
    runner: str  # its containers are this test's

    def spec(self, job: str = "job", *, runner: str = "") -> ContainerSpec:
        name = f"{self.runner}-{job}"
        return ContainerSpec(job=name, runner=runner or self.runner, image=MicroPython.image, limits=Limits())

    def tree(self, files: dict[str, bytes | None]) -> bytes:
        blob = Blob(url="", digest="0" * 64, size_bytes=0)
        job = Job(id="j", board="unix", family="micropython", commit="", source=blob, uploads={}, log_url="")
        return MicroPython().stage(job, Snapshot(files), self.engine.image(MicroPython.image)).tree


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    is_real = request.param == "docker"
    engine: Engine = DockerEngine.connect(now=SystemClock().now) if is_real else InMemoryEngine()
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield Bench(engine, name)
    for job in engine.jobs(name):
        engine.remove(job)
    if isinstance(engine, DockerEngine):
        engine.close()


GOOD: dict[str, bytes | None] = {"main.py": b"", "a.py": b"x = 1\n"}
BAD: dict[str, bytes | None] = {"main.py": b"", "a.py": b"x = (\n"}


def finished(bench: Bench, container: Container, files: dict[str, bytes | None]) -> tuple[bytes, int, bytes]:
    container.feed(bench.tree(files))
    log = b"".join(container.log(timeout_s=120))
    return log, container.end().exit_code, b"".join(container.output())


def test_a_container_gives_log_end_and_output(bench: Bench) -> None:
    with bench.engine.start(bench.spec()) as container:
        assert not container.is_resumed
        log, exit_code, output = finished(bench, container, GOOD)

    assert b"a.py" in log
    assert exit_code == 0
    assert output.startswith(b"started\nexit=0 oom=0 ")
    assert b"a.mpy" in output


def test_a_build_that_fails_says_so_and_gives_nothing(bench: Bench) -> None:
    with bench.engine.start(bench.spec()) as container:
        log, exit_code, output = finished(bench, container, BAD)

    assert b'File "./a.py", line ' in log
    assert exit_code == 0  # of the first process, which did its work
    assert output.startswith(b"started\nexit=123 ")
    assert output.count(b"\n") == 2


def test_a_container_is_gone_after_use(bench: Bench) -> None:
    with bench.engine.start(bench.spec()) as container:
        during = bench.engine.jobs(bench.runner)
        container.remove()
        container.remove()

    assert during == {f"{bench.runner}-job"}
    assert bench.engine.jobs(bench.runner) == set()


def test_a_container_that_was_fed_is_resumed_with_its_whole_log(bench: Bench) -> None:
    first = bench.engine.start(bench.spec())
    log, _, output = finished(bench, first, GOOD)

    with bench.engine.start(bench.spec()) as second:
        again = b"".join(second.log(timeout_s=120))

        assert second.is_resumed
        assert (again, second.end().exit_code, b"".join(second.output())) == (log, 0, output)
    first.remove()


def test_a_container_that_was_never_fed_is_replaced(bench: Bench) -> None:
    first = bench.engine.start(bench.spec())

    with bench.engine.start(bench.spec()) as second:
        first.remove()  # a late hand on the old container does nothing to the new one

        assert not second.is_resumed
        assert finished(bench, second, GOOD)[1] == 0


def test_a_container_of_another_runner_is_not_resumed(bench: Bench) -> None:
    foreign = bench.engine.start(bench.spec(runner=f"{bench.runner}-other"))
    finished(bench, foreign, GOOD)
    foreign_jobs = bench.engine.jobs(f"{bench.runner}-other")

    with bench.engine.start(bench.spec()) as own:
        assert not own.is_resumed
        assert foreign_jobs == {f"{bench.runner}-job"}
        assert bench.engine.jobs(f"{bench.runner}-other") == set()
    foreign.remove()


def test_time_over_ends_the_log_with_an_error(bench: Bench) -> None:
    with bench.engine.start(bench.spec()) as container, pytest.raises(ContainerTimeoutError, match="still running"):
        list(container.log(timeout_s=0.3))


def test_removing_from_elsewhere_ends_the_log(bench: Bench) -> None:
    with bench.engine.start(bench.spec()) as container:
        timer = threading.Timer(0.2, bench.engine.remove, [f"{bench.runner}-job"])
        timer.start()
        log = b"".join(container.log(timeout_s=120))
        timer.join()

    assert log == b""


def test_only_own_containers_are_listed_and_removing_what_is_not_there_is_fine(bench: Bench) -> None:
    with bench.engine.start(bench.spec("a")), bench.engine.start(bench.spec("b")):
        assert bench.engine.jobs(bench.runner) == {f"{bench.runner}-a", f"{bench.runner}-b"}
        assert bench.engine.jobs("nobody") == set()
        bench.engine.remove("nobody")


def test_a_missing_image_is_named(bench: Bench) -> None:
    spec = ContainerSpec(job=f"{bench.runner}-x", runner=bench.runner, image="kiln/absent:current", limits=Limits())

    with pytest.raises(ImageMissingError, match="kiln/absent:current"):
        bench.engine.image("kiln/absent:current")
    with pytest.raises(ImageMissingError, match="kiln/absent:current"):
        bench.engine.start(spec)


def test_an_image_has_a_digest_and_its_labels(bench: Bench) -> None:
    image = bench.engine.image(MicroPython.image)

    assert image.digest.startswith("sha256:")
    assert "1.28" in image.labels["kiln.micropython"].split()


def test_the_image_that_fetches_sources_runs_with_a_network_and_answers_like_any_other(bench: Bench) -> None:
    assert bench.engine.image(SOURCE_IMAGE).labels["kiln.fetcher"] == FETCHER
    spec = ContainerSpec(
        job=f"{bench.runner}-s", runner=bench.runner, image=SOURCE_IMAGE, limits=Limits(), has_network=True
    )
    with bench.engine.start(spec) as container:
        assert not container.is_resumed
        assert bench.engine.jobs(bench.runner) == {f"{bench.runner}-s"}
    assert bench.engine.jobs(bench.runner) == set()


def test_no_other_image_runs_with_a_network(bench: Bench) -> None:
    with pytest.raises(ValueError, match="only containers of kiln/source:current have a network"):
        ContainerSpec(job="x", runner=bench.runner, image=MicroPython.image, limits=Limits(), has_network=True)
