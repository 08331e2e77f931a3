"""A burst of pushes costs two builds, the newest wins, and nothing works on what was given up."""

import time
from collections.abc import Iterator

import docker
import pytest

from service.domain.arrival import LONGEST_BURST, QUIET
from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # a hundred pushes, beside other work

PUSHES = 100
BOOKED_S = 1.0  # a build that succeeds so soon after the next push was not overtaken by it
MODULES = 400  # take long enough to compile that a build is caught in the middle, on a busy machine, too


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with running(Chain(tmp_path_factory.mktemp("burst"))) as chain:
        yield chain


def test_a_hundred_pushes_in_a_burst_are_two_builds_for_each_board(chain: Chain) -> None:
    first = chain.push()
    pushed = [chain.push() for _ in range(PUSHES - 1)]

    chain.expect_one_release(pushed[-1])

    started = chain.ask(
        "select board, count(*) from jobs where result is not null or status != 'cancelled' group by board"
    )
    of = bursts(chain)
    assert all(0 < count <= 2 * of for _, count in started if isinstance(count, int)), (started, of)
    assert len(started) == 4
    ended = {row[0]: row[1] for row in chain.ask("select id, status from builds")}
    assert ended[pushed[-1]] == "succeeded"
    between = [ended[build] for build in pushed[:-1]]
    assert set(between) <= {"cancelled", "succeeded"}
    assert between.count("succeeded") <= 2 * (of - 1), (between, of)
    assert ended[first] in {"cancelled", "succeeded"}
    assert chain.ask("select build from channels where channel = 'beta'") == [(pushed[-1],)]


def bursts(chain: Chain) -> int:
    """One, unless this machine is so busy that pushes of one are further apart, are built meanwhile, or last longer."""
    rows = chain.ask("select created_at, case status when 'succeeded' then finished_at end from builds order by id")
    began = last = float(str(rows[0][0]))
    built, of = None, 1
    for created, finished in rows:
        at = float(str(created))
        is_built = built is not None and built <= at + BOOKED_S
        if at - last > QUIET.total_seconds() or is_built or at - began >= LONGEST_BURST.total_seconds():
            began, of = at, of + 1
        last, built = at, None if finished is None else float(str(finished))
    return of


def test_a_superseded_build_is_ended_in_queue_container_and_record(chain: Chain) -> None:
    time.sleep(2.5)  # the burst of the test before is over
    source = chain.repository.work / "src"
    for number in range(MODULES):
        (source / f"module_{number}.py").write_text("".join(f"X{line} = {line}\n" for line in range(200)))
    client = docker.from_env()
    try:
        old = chain.push()
        name = f"kiln-{chain.kiln.instance.id}-{old}-"
        wait(
            lambda: bool(client.containers.list(all=True, ignore_removed=True, filters={"name": name})),
            "a container of the old build",
        )
        for number in range(MODULES):
            (source / f"module_{number}.py").unlink()
        new = chain.push()
        wait(
            lambda: not client.containers.list(all=True, ignore_removed=True, filters={"name": name}),
            "its containers to go",
        )
        chain.expect_one_release(new)
    finally:
        client.close()

    assert chain.ask("select status, superseded_by from builds where id = ?", old) == [("cancelled", new)]
    assert {row[0] for row in chain.ask("select status from jobs where build = ?", old)} == {"cancelled"}
    assert chain.ask("select count(*) from releases where build = ?", old) == [(0,)]
    engine = "select status from workflow_status where workflow_uuid = ?"
    assert chain.ask(engine, f"build-{old}") == [("CANCELLED",)]
    assert chain.ask("select count(*) from builds where is_winding") == [(0,)]
