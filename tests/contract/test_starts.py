"""How the workflows of builds are started: what the durable engine has written down."""

import datetime
import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from dbos import DBOS

from service import workflows
from service.adapters.database import open_database
from service.domain.arrival import LONGEST_BURST
from tests.fakes.clock import StoppedClock

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    made = open_database(f"sqlite:///{tmp_path / 'kiln.db'}")
    workflows.stop()  # of whatever test was here before: there is one engine in a process
    workflows.prepare(made)
    DBOS.listen_queues([])  # nobody begins what is started here
    DBOS.launch()
    yield made
    workflows.stop()
    made.dispose()


def started(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.execute(sa.text("select workflow_uuid from workflow_status")).scalars())


def test_what_kiln_0_1_0_left_to_be_started_is_started(engine: sa.Engine) -> None:
    """It wrote the builds of a batch alone; ours have a time beside them. Once each, however often."""
    starter = workflows.Starter(engine, StoppedClock(NOW))

    for _ in range(2):
        starter.start_each([1, 2, 3])
        starter.start_each([[4, NOW.timestamp()]])

    assert started(engine) == [f"build-{number}" for number in range(1, 5)]


def test_a_clock_that_is_set_back_keeps_no_build_waiting(engine: sa.Engine) -> None:
    clock = StoppedClock(NOW - datetime.timedelta(days=1))

    workflows.Starter(engine, clock).start_each([[1, NOW.timestamp()]])

    query = sa.text("select status, delay_until_epoch_ms - created_at from workflow_status")
    with engine.connect() as connection:
        status, wait_ms = connection.execute(query).one()
    assert status == "DELAYED"
    assert 0 < wait_ms < LONGEST_BURST.total_seconds() * 1000 + 1000
