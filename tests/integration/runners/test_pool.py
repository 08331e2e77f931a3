"""Containers that are started ahead, on real Docker: one job each, never of another kind, never left behind.

With the engine's own runtime and with gVisor.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from runners import docker_container, docker_pool
from runners.contract.job import Limits
from runners.docker_container import DockerContainer
from runners.docker_engine import DockerEngine
from runners.engine import ContainerSpec
from runners.errors import EngineError
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import pack_tree
from service.adapters.clock import SystemClock

pytestmark = pytest.mark.docker

SIZE = 2
LIMITS = Limits(time_s=30)
GOOD = pack_tree({"in/a.py": b"x = 1\n", "list": b"-s\0a.py\0-o\0../out/a.mpy\0./a.py\0", "job": b"1.28 5 1\n"}, ())


@dataclass
class Stage:
    """An engine that starts containers ahead for one runner."""

    engine: DockerEngine
    runner: str = field(default_factory=lambda: f"pool-{uuid.uuid4().hex[:12]}")

    def spec(self, name: str = "job", **limits: float) -> ContainerSpec:
        image = self.engine.image(MicroPython.image)
        mine = replace(LIMITS, **limits)  # type: ignore[arg-type]  # whatever Limits takes
        return ContainerSpec(job=f"{self.runner}-{name}", runner=self.runner, image=image.digest, limits=mine)

    def prepare(self) -> None:
        self.engine.prepare(self.spec())
        until(lambda: len(self.waiting(running=True)) == SIZE)

    def ids(self, *, running: bool = False) -> dict[str, str]:
        """Name -> id of all containers of this runner."""
        which = () if running else ("-a",)
        command = ["docker", "ps", *which, "--no-trunc", "--filter", f"label=kiln.runner={self.runner}"]
        listed = subprocess.run(
            [*command, "--format", "{{.Names}} {{.ID}}"], check=True, capture_output=True, text=True
        )
        return dict(line.split() for line in listed.stdout.splitlines())

    def id_of(self, job: str) -> str:
        name = f"kiln-{self.runner}-{job}"
        until(lambda: name in self.ids())  # one that waited is named a moment later
        return self.ids()[name]

    def waiting(self, *, running: bool = False) -> dict[str, str]:
        return {name: each for name, each in self.ids(running=running).items() if name.startswith("kiln-warm-")}


def until(true: Callable[[], object], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def stage(runtime: str) -> Iterator[Stage]:
    made = Stage(DockerEngine.connect(now=SystemClock().now, warm=SIZE, runtime=runtime))
    yield made
    made.engine.close()
    assert made.ids() == {}, "a container was left behind"


def test_a_job_takes_a_container_that_waits_and_nobody_takes_it_again(stage: Stage) -> None:
    stage.prepare()
    before = set(stage.waiting().values())

    with stage.engine.start(stage.spec()) as container:
        container.feed(GOOD)
        log = b"".join(container.log(timeout_s=120))
        output = b"".join(container.output())
        mine = stage.id_of("job")
        assert container.end().exit_code == 0

    assert mine in before
    assert b"a.py" in log
    assert output.startswith(b"started\nexit=0")
    assert stage.engine.jobs(stage.runner) == set()
    until(lambda: len(stage.waiting()) == SIZE)
    assert mine not in stage.waiting().values()


def test_a_container_of_other_limits_is_made_anew(stage: Stage) -> None:
    stage.prepare()
    before = set(stage.waiting().values())

    with stage.engine.start(stage.spec(memory_bytes=64 << 20)):
        other = stage.id_of("job")
    with stage.engine.start(stage.spec("slow", time_s=99)):  # time is kept from outside: the same kind
        same = stage.id_of("slow")

    assert other not in before
    assert same in before


def test_more_jobs_than_containers_wait_for_nobody(stage: Stage) -> None:
    stage.prepare()

    made = [stage.engine.start(stage.spec(f"j{number}")) for number in range(SIZE + 1)]

    assert stage.engine.jobs(stage.runner) == {f"{stage.runner}-j{number}" for number in range(SIZE + 1)}
    for each in made:
        each.remove()


def test_one_that_died_meanwhile_is_not_taken(stage: Stage) -> None:
    stage.prepare()
    subprocess.run(["docker", "kill", *stage.waiting().values()], check=True, capture_output=True)
    until(lambda: not stage.waiting(running=True))

    with stage.engine.start(stage.spec()) as container:
        container.feed(GOOD)
        assert b"a.py" in b"".join(container.log(timeout_s=120))


def test_a_job_that_was_fed_in_a_waiting_container_is_resumed(stage: Stage) -> None:
    stage.prepare()
    first = stage.engine.start(stage.spec())
    first.feed(GOOD)
    log = b"".join(first.log(timeout_s=120))

    with stage.engine.start(stage.spec()) as second:
        assert second.is_resumed
        assert b"".join(second.log(timeout_s=120)) == log
        # An archive ends with zeros, and whoever hears its end as it comes does not wait for the last of them.
        assert b"".join(second.output()).rstrip(b"\0") == b"".join(first.output()).rstrip(b"\0")
    first.remove()


def test_what_a_dead_runner_started_ahead_ends_by_itself_and_is_swept(stage: Stage, runtime: str) -> None:
    code = (
        "import sys, time; from runners.docker_engine import DockerEngine; from runners.contract.job import Limits\n"
        "from runners.engine import ContainerSpec\n"
        "engine = DockerEngine.connect(now=None, warm=2, runtime=sys.argv[3])\n"
        "engine.prepare(ContainerSpec(job='', image=sys.argv[1], runner=sys.argv[2], limits=Limits()))\n"
        "time.sleep(60)"
    )
    image = stage.engine.image(MicroPython.image).digest
    dead = subprocess.Popen([sys.executable, "-c", code, image, stage.runner, runtime])
    until(lambda: len(stage.waiting(running=True)) == SIZE)

    dead.kill()
    dead.wait()

    until(lambda: not stage.waiting(running=True))  # their standard input is gone
    assert len(stage.waiting()) == SIZE
    assert stage.engine.jobs(stage.runner) == set()
    stage.engine.remove_waiting(stage.runner)
    assert stage.ids() == {}


def test_an_engine_in_trouble_leaves_nothing_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    started = iter([True, False])
    real = docker_container.start

    def start(*given: Any, **named: Any) -> DockerContainer:
        if next(started, False):
            return real(*given, **named)
        raise EngineError("no more")

    monkeypatch.setattr(docker_pool, "start", start)
    stage.engine.prepare(stage.spec())
    until(lambda: next(started, "over") == "over")
    until(lambda: stage.ids() == {})

    monkeypatch.undo()
    with stage.engine.start(stage.spec()) as container:
        container.feed(GOOD)
        assert b"a.py" in b"".join(container.log(timeout_s=120))
