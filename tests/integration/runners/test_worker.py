"""`python -m runners serve` as a process: takes jobs, dies, comes back, is told to stop."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from dbos import DBOSClient, WorkflowHandle
from dbos._serialization import DBOSPortableJSON

from runners import artifacts
from runners.contract.job import FILES_ARTIFACT, OLD_WORKFLOW, QUEUE, WORKFLOW, Blob, Job, Limits, Outcome, Result
from runners.docker_engine import DockerEngine
from runners.engine import ContainerSpec
from runners.recipes.micropython import MicroPython
from runners.worker import STOP_PATIENCE_S, WorkerSettings
from service.adapters.clock import SystemClock
from tests.integration.runners.conftest import PATH, sha256
from tests.integration.runners.service_door import Door

pytestmark = [pytest.mark.docker]

ROOT = pathlib.Path(__file__).parents[3]
QUICK = {"main.py": b"import a\n", "a.py": b"A = 1\n"}
# Compiles for some seconds: time to be killed in.
SLOW = {"main.py": b"", **{f"m{n}.py": b"".join(b"v%d = %d\n" % (k, k) for k in range(1000)) for n in range(400)}}
READY_S, RESULT_S = 60.0, 120.0
A_TENTH = 0.1  # of a core: SLOW lasts most of a minute then, however quick the machine is


def until(true: Callable[[], object], *, within_s: float = READY_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@dataclass
class Farm:
    """A database, a door, and runner processes that come and go."""

    folder: pathlib.Path
    door: Door
    engine: DockerEngine
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    client: DBOSClient | None = None

    @property
    def settings(self) -> WorkerSettings:
        return WorkerSettings(database_url=f"sqlite:///{self.folder}/kiln.db", name="runner-t", jobs=2)

    @property
    def log(self) -> list[dict[str, Any]]:
        path = self.folder / "log"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def start(self) -> subprocess.Popen[bytes]:
        """A runner that is ready to take jobs."""
        known = self._times_ready()
        process = self.launch()
        until(lambda: self._times_ready() > known)
        return process

    def launch(self, **more: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": PATH,
            "KILN_DATABASE_URL": self.settings.database_url,
            "KILN_RUNNER_NAME": "runner-t",
            "KILN_RUNNER_JOBS": "2",
            **more,
        }
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "runners", "serve"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def _times_ready(self) -> int:
        return sum(each["event"] == "runner ready" for each in self.log)

    def enqueue(
        self, files: dict[str, bytes], *, cpus: float = 1.0, workflow: str = WORKFLOW
    ) -> tuple[Job, "WorkflowHandle[Any]"]:
        packed = artifacts.pack(files)
        job = Job(
            id=f"w-{uuid.uuid4().hex[:12]}",
            board="unix",
            family="micropython",
            commit="c" * 40,
            source=Blob(url=f"{self.door.address}/source", digest=sha256(packed), size_bytes=len(packed)),
            uploads={FILES_ARTIFACT: f"{self.door.address}/up?sig=1"},
            log_url=f"{self.door.address}/log?sig=1",
            limits=Limits(cpus=cpus),
        )
        self.door.blobs["/source"] = packed
        if self.client is None:
            self.client = DBOSClient(
                system_database_url=self.settings.database_url, application_name="kiln", serializer=DBOSPortableJSON
            )
        handle: WorkflowHandle[Any] = self.client.enqueue(
            {"queue_name": QUEUE, "workflow_name": workflow, "workflow_id": job.id, "app_version": "1"}, job.to_json()
        )
        return job, handle

    def is_building(self, job: Job) -> bool:
        return bool(self.door.logs.get("/log")) and job.id in self.engine.jobs(self.settings.label)


@pytest.fixture
def farm(tmp_path: pathlib.Path) -> Iterator[Farm]:
    door = Door()
    engine = DockerEngine.connect(now=SystemClock().now)
    with door.open():
        made = Farm(tmp_path, door, engine)
        yield made
        for process in made.processes:
            process.kill()
            process.wait()
        if made.client is not None:
            made.client.destroy()
    for job in engine.jobs(made.settings.label):
        engine.remove(job)
    engine.remove_waiting(made.settings.label)
    engine.close()


def result_of(handle: "WorkflowHandle[Any]") -> Result:
    return Result.from_json(handle.get_result(polling_interval_sec=0.05))


def test_a_job_is_taken_and_its_result_comes_back(farm: Farm) -> None:
    farm.start()
    job, handle = farm.enqueue(QUICK)

    result = result_of(handle)

    assert (result.outcome.value, result.message, result.job) == ("succeeded", "", job.id)
    assert [sha256(content) for _, content in farm.door.uploads] == [result.artifacts[0].digest]
    assert b"mpy-cross" in farm.door.logs["/log"]
    until(lambda: farm.engine.jobs(farm.settings.label) == set())


@pytest.mark.parametrize(("workflow", "checkpoints"), [(WORKFLOW, []), (OLD_WORKFLOW, ["run"])])
def test_a_job_has_the_checkpoints_of_the_order_that_it_was_begun_in(
    farm: Farm, workflow: str, checkpoints: list[str]
) -> None:
    """The result of the workflow is one by itself."""
    farm.start()
    _, handle = farm.enqueue(QUICK, workflow=workflow)

    assert result_of(handle).outcome is Outcome.SUCCEEDED
    assert farm.client is not None
    assert [each["function_name"] for each in farm.client.list_workflow_steps(handle.workflow_id)] == checkpoints


def test_a_runner_that_is_killed_goes_on_with_the_same_container(farm: Farm) -> None:
    first = farm.start()
    job, handle = farm.enqueue(SLOW)
    until(lambda: farm.is_building(job))
    first.kill()
    first.wait()
    left = farm.engine.jobs(farm.settings.label)

    farm.start()
    result = result_of(handle)

    assert left == {job.id}
    assert result.outcome.value == "succeeded"
    assert len({content for _, content in farm.door.uploads}) == 1
    lines = bytes(farm.door.logs["/log"]).splitlines()
    assert len(lines) == len(set(lines)) == len(SLOW) - 1  # each file once: nothing was built again, no log line lost
    until(lambda: farm.engine.jobs(farm.settings.label) == set())


def test_orphans_of_a_dead_runner_are_swept(farm: Farm) -> None:
    spec = ContainerSpec(
        job=f"w-orphan-{uuid.uuid4().hex[:8]}", runner=farm.settings.label, image=MicroPython.image, limits=Limits()
    )
    orphan = farm.engine.start(spec)
    foreign = farm.engine.start(
        ContainerSpec(job=f"{spec.job}-2", runner="somebody@else", image=MicroPython.image, limits=Limits())
    )

    with foreign:
        farm.start()

        until(lambda: farm.engine.jobs(farm.settings.label) == set())
        assert farm.engine.jobs("somebody@else") == {f"{spec.job}-2"}
    orphan.remove()


def test_a_cancelled_job_is_stopped(farm: Farm) -> None:
    farm.start()
    job, _ = farm.enqueue(SLOW, cpus=A_TENTH)
    until(lambda: farm.is_building(job))
    assert farm.client is not None

    farm.client.cancel_workflow(job.id)

    until(lambda: farm.engine.jobs(farm.settings.label) == set())
    until(lambda: any(each["event"] == "job finished" and each["outcome"] == "cancelled" for each in farm.log))
    assert farm.door.uploads == []


def test_a_runner_told_to_stop_hands_its_jobs_back(farm: Farm) -> None:
    first = farm.start()
    job, _ = farm.enqueue(SLOW, cpus=A_TENTH)
    until(lambda: farm.is_building(job))
    began = time.monotonic()
    first.send_signal(signal.SIGTERM)
    code = first.wait(timeout=60)
    took_s = time.monotonic() - began
    left = farm.engine.jobs(farm.settings.label)

    farm.start()

    until(lambda: farm.engine.jobs(farm.settings.label) == {job.id})  # it begins again
    assert (code, left) == (0, set())
    assert took_s < 30  # the job would have taken most of a minute
    assert [each["job"] for each in farm.log if each["event"] == "job handed back"] == [job.id]
    assert not [each for each in farm.log if each["event"] == "job finished"]


def test_an_idle_runner_stops_at_once(farm: Farm) -> None:
    process = farm.start()
    began = time.monotonic()

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=60) == 0
    assert time.monotonic() - began < STOP_PATIENCE_S


def test_two_runners_of_one_name_do_not_work_together(farm: Farm) -> None:
    farm.start()
    second = subprocess.run(
        [sys.executable, "-m", "runners", "serve"],
        cwd=ROOT,
        env={"PATH": PATH, "KILN_DATABASE_URL": farm.settings.database_url, "KILN_RUNNER_NAME": "runner-t"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 2
    assert "a runner named runner-t is at work on this machine" in second.stderr


def test_a_runner_ends_with_its_parent(farm: Farm) -> None:
    process = farm.launch(KILN_PARENT="1")  # not ours: as if the parent had gone

    assert process.wait(timeout=10) == 2


@pytest.mark.parametrize("environment", [{}, {"KILN_DATABASE_URL": "sqlite:////tmp/x.db", "KILN_RUNNER_JOBS": "none"}])
def test_missing_settings_are_named(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runners", "serve"],
        cwd=ROOT,
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert "set KILN_DATABASE_URL, and KILN_RUNNER_JOBS to a number" in done.stderr


@pytest.mark.parametrize("command", [["serve"], ["build", "examples/blink"]])
def test_a_runtime_that_the_engine_lacks_is_named_at_the_start(tmp_path: pathlib.Path, command: list[str]) -> None:
    environment = {"PATH": PATH, "KILN_DATABASE_URL": f"sqlite:///{tmp_path}/kiln.db", "KILN_RUNTIME": "nothing"}
    done = subprocess.run(
        [sys.executable, "-m", "runners", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert "kiln: KILN_RUNTIME is 'nothing', but the engine has " in done.stderr
    assert "runc" in done.stderr
