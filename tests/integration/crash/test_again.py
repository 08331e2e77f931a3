"""The same source again, through a whole Kiln: no container, the same bytes, and a release of its own."""

import datetime
import json
import pathlib
from collections.abc import Iterator

import docker
import pytest

from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait

pytestmark = [pytest.mark.docker]


@pytest.fixture
def chain(tmp_path: pathlib.Path) -> Iterator[Chain]:
    with running(Chain(tmp_path)) as chain:
        yield chain


def test_a_push_that_changes_nothing_on_the_board_takes_no_container(chain: Chain) -> None:
    first = chain.push()
    chain.expect_one_release(first)
    since = datetime.datetime.now(datetime.UTC)  # noqa: TID251  # the engine's own clock
    (chain.repository.work / "README.md").write_text("new\n")
    chain.repository.commit("words only")
    second = int(chain.repository.push().rsplit("/builds/", 1)[1].split()[0])
    chain.expect_one_release(second)

    made = {board: json.loads(result) for board, result in results(chain, first)}
    taken = {board: json.loads(result) for board, result in results(chain, second)}
    assert {board: each["cached_from"] for board, each in taken.items()} == {
        board: each["job"] for board, each in made.items()
    }
    assert {board: each["artifacts"] for board, each in taken.items()} == {
        board: each["artifacts"] for board, each in made.items()
    }
    assert containers(chain, second, since) == set()
    logs = [path.read_text() for path in (chain.kiln.data / "logs").glob(f"**/*-{second}-*")]
    assert [each.startswith("[kiln: the same source was built by ") for each in logs] == [True] * 4


def test_a_branch_and_a_tag_at_once_are_built_once_for_each_board(chain: Chain) -> None:
    chain.repository.set_version("7")
    chain.repository.commit("both")
    chain.repository.push_as("refs/tags/v7.0.0")
    chain.repository.push()
    wait(lambda: chain.ask("select count(*) from releases") == [(2,)], "both releases")

    spared = [json.loads(str(result))["cached_from"] for (result,) in chain.ask("select result from jobs")]
    assert [bool(each) for each in sorted(spared)] == [False] * 4 + [True] * 4


def results(chain: Chain, build: int) -> list[tuple[str, str]]:
    return [
        (str(board), str(result))
        for board, result in chain.ask("select board, result from jobs where build = ?", build)
    ]


def containers(chain: Chain, build: int, since: datetime.datetime) -> set[str]:
    """The containers that the engine named after a job of this build."""
    client = docker.from_env()
    try:
        until = datetime.datetime.now(datetime.UTC)  # noqa: TID251
        happened = client.events(since=since, until=until, decode=True, filters={"type": "container"})
        names = {each["Actor"]["Attributes"].get("name", "") for each in happened}
        return {each for each in names if each.startswith(f"kiln-{chain.kiln.instance.id}-{build}-")}
    finally:
        client.close()
