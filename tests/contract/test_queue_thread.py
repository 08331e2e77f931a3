"""Work is taken from a durable queue when it is there, not a round later: what we use of the engine still is so."""

import pathlib
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest
import sqlalchemy as sa
from dbos import DBOS, DBOSClient
from dbos._dbos import _get_dbos_instance
from dbos._serialization import DBOSPortableJSON

from runners import queue_thread
from service import workflows
from service.adapters.database import open_database

QUEUE, LONG_S = "prompt", 600.0


@pytest.fixture
def watch() -> queue_thread.Watch:
    return queue_thread.Watch(QUEUE)


@pytest.fixture
def tmp_path(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder whose name means something else in an address."""
    odd = tmp_path / "data #1"
    odd.mkdir()
    return odd


def no_inotify(path: pathlib.Path) -> NoReturn:
    raise OSError(f"nobody tells of {path}")


@pytest.fixture(params=["told by the kernel", "looking"])
def done(
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    watch: queue_thread.Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[int]]:
    """What the workflow was given, by an engine that looks by itself once in ten minutes."""
    if request.param == "looking":
        monkeypatch.setattr(queue_thread, "Changes", no_inotify)
    else:
        monkeypatch.setattr(queue_thread, "LONGEST_S", LONG_S)
    made: list[int] = []
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}")
    workflows.stop()
    workflows.prepare(engine)
    monkeypatch.setattr(queue_thread, "SELDOM_S", LONG_S)

    @DBOS.workflow(name="note")
    def note(value: int) -> None:
        made.append(value)

    DBOS.listen_queues([])
    DBOS.launch()
    queue_thread.work_promptly(watch, concurrency=2, url=f"sqlite:///{tmp_path / 'kiln.db'}")
    yield made
    workflows.stop()
    engine.dispose()


def test_what_another_connection_writes_is_taken_at_once(
    done: list[int], watch: queue_thread.Watch, tmp_path: pathlib.Path
) -> None:
    client = DBOSClient(
        system_database_url=f"sqlite:///{tmp_path / 'kiln.db'}",
        application_name=workflows.APPLICATION,
        serializer=DBOSPortableJSON,
    )
    options = {"queue_name": QUEUE, "workflow_name": "note", "app_version": workflows.VERSION}
    for value in range(5):
        handle = client.enqueue(options, value)  # type: ignore[arg-type,var-annotated]  # a plain dictionary is one
        watch.wait_for_one([handle.workflow_id, "none"])
        assert value in done
    client.destroy()

    assert done == list(range(5))


def test_a_look_does_not_ask_which_version_is_the_newest(
    done: list[int], watch: queue_thread.Watch, tmp_path: pathlib.Path
) -> None:
    asked: list[str] = []
    database = _get_dbos_instance()._sys_db.engine
    sa.event.listen(database, "before_cursor_execute", lambda *given: asked.append(given[2]))
    client = DBOSClient(
        system_database_url=f"sqlite:///{tmp_path / 'kiln.db'}",
        application_name=workflows.APPLICATION,
        serializer=DBOSPortableJSON,
    )
    for version, name in (("another", "left"), (workflows.VERSION, "taken")):
        options = {"queue_name": QUEUE, "workflow_name": "note", "app_version": version, "workflow_id": name}
        client.enqueue(options, 7 if name == "left" else 8)  # type: ignore[arg-type]  # a plain dictionary is one
    watch.wait_for_one(["taken"])
    client.destroy()

    assert done == [8]
    assert any("workflow_status" in each for each in asked)
    assert not [each for each in asked if "application_versions" in each]


def test_its_threads_end_with_the_engine(done: list[int]) -> None:
    def ours() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.endswith(f"-{QUEUE}")]

    assert sorted(ours()) == [f"kiln-queue-{QUEUE}", f"kiln-watch-{QUEUE}"]
    workflows.stop()

    assert ours() == []


def test_a_nudge_ends_one_wait_and_a_stop_ends_all() -> None:
    nudge = queue_thread.Nudge()

    nudge.nudge()
    assert nudge.wait(60) is False
    assert nudge.wait(0.01) is False
    nudge.set()
    assert nudge.wait(60) is True
    assert nudge.is_set()
