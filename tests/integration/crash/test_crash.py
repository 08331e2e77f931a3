"""`kill -9` of service or runner at any step, then a restart: the release comes, and it comes once."""

import pathlib
from collections.abc import Iterator

import docker
import pytest

from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait

pytestmark = [pytest.mark.docker]

STEPS = [
    (step, phase) for step in ("source", "plan", "collect", "publish", "end", "announce") for phase in ("begin", "end")
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with running(Chain(tmp_path_factory.mktemp("chain"))) as chain:
        yield chain


def test_a_service_killed_at_every_step_of_one_build_releases_it_once(chain: Chain, tmp_path: pathlib.Path) -> None:
    chain.enrol("roof")
    log = chain.kiln.data / "service.log"
    chain.kiln.kill("service")
    chain.kiln.service(until=(*STEPS[0], tmp_path / "killed-0"))

    build = chain.push()
    for number, (step, phase) in enumerate(STEPS, 1):
        wait(lambda: chain.kiln.died("service"), f"the service to die at {step} {phase}", log=log)
        assert (tmp_path / f"killed-{number - 1}").exists()
        if number < len(STEPS):
            chain.kiln.service(until=(*STEPS[number], tmp_path / f"killed-{number}"))
        else:
            chain.kiln.service()

    chain.expect_one_release(build)
    assert chain.ask("select device, seq from outbox") == [("roof", 1)]
    sent = "select count(*) from outbox where sent_at is null"
    wait(lambda: chain.ask(sent) == [(0,)], "the notice to reach the broker", log=log)


@pytest.mark.parametrize("moment", ["container", "running", "first job done"])
def test_a_runner_killed_while_it_builds_finishes_after_its_restart(chain: Chain, moment: str) -> None:
    client = docker.from_env()
    build = chain.push()

    def reached() -> bool:
        if moment == "container":
            return bool(
                client.containers.list(
                    all=True, ignore_removed=True, filters={"name": f"kiln-{chain.kiln.instance.id}-{build}-"}
                )
            )
        wanted = "running" if moment == "running" else "succeeded"
        return bool(chain.ask("select 1 from jobs where build = ? and status = ?", build, wanted))

    try:
        wait(reached, moment)
    finally:
        client.close()
    chain.kiln.kill("runner")
    chain.kiln.runner()

    chain.expect_one_release(build)
    assert chain.is_done(build)


def test_everything_killed_at_once_comes_back(chain: Chain) -> None:
    chain.kiln.kill("runner")  # a build may be faster than the next push
    builds = [chain.push(), chain.push(), chain.push()]
    chain.kiln.runner()
    begun = "select 1 from jobs where build = ? and status != 'queued'"
    wait(lambda: bool(chain.ask(begun, builds[-1])), "a job to run")
    for name in ("service", "runner", "broker"):
        chain.kiln.kill(name)
    chain.kiln.broker()
    chain.kiln.service()
    chain.kiln.runner()

    chain.expect_one_release(builds[-1])
    superseded = "select count(*) from builds where status = 'cancelled' and superseded_by is not null and id = ?"
    assert chain.ask(superseded, builds[1]) == [(1,)]
    newest = chain.ask("select build from channels where channel = 'beta'")
    assert newest == [(builds[-1],)]
