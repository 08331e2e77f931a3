"""A build that began before an upgrade: it goes on in the order of checkpoints that it began in."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator

import pytest

from service.workflows import OLD_BUILD, OLDEST_BUILD
from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait

COLLECTED = {OLD_BUILD: "collect_first", OLDEST_BUILD: "collect"}

pytestmark = [pytest.mark.docker]


@pytest.fixture
def chain(tmp_path: pathlib.Path) -> Iterator[Chain]:
    with running(Chain(tmp_path)) as chain:
        yield chain


@pytest.mark.parametrize("name", [OLD_BUILD, OLDEST_BUILD])
def test_a_build_that_an_older_kiln_began_ends_by_its_own_order(
    chain: Chain, tmp_path: pathlib.Path, name: str
) -> None:
    log = chain.kiln.data / "service.log"
    chain.kiln.kill("service")
    chain.kiln.service(until=("plan", "end", tmp_path / "planned"))
    build = chain.push()
    wait(lambda: chain.kiln.died("service"), "the service to die", log=log)
    make_old(chain, build, name)

    chain.kiln.service(until=("collect", "end", tmp_path / "collected"))
    wait(lambda: chain.kiln.died("service"), "the service to die again", log=log)
    assert checkpoints(chain, build)[:2] == ["source", "plan"]
    assert ("DBOS.getResult" in checkpoints(chain, build)) == (name == OLDEST_BUILD)
    chain.kiln.service()

    chain.expect_one_release(build)
    by_name = {each: checkpoints(chain, build).count(each) for each in ("begin", "collect", "collect_first")}
    assert by_name == {"begin": 0, **dict.fromkeys(("collect", "collect_first"), 0), COLLECTED[name]: 4}


def make_old(chain: Chain, build: int, name: str) -> None:
    """No checkpoint is written yet, so what an older Kiln wrote differs by the name alone."""
    assert checkpoints(chain, build) == []
    with contextlib.closing(sqlite3.connect(chain.kiln.data / "kiln.db", timeout=30)) as database, database:
        change = "update workflow_status set name = ? where workflow_uuid = ?"
        assert database.execute(change, (name, f"build-{build}")).rowcount == 1


def checkpoints(chain: Chain, build: int) -> list[object]:
    found = chain.ask("select function_name from operation_outputs where workflow_uuid = ?", f"build-{build}")
    return [name for (name,) in found]
