"""A database of an older Kiln is brought up to date, whole, and then is what a new one is."""

import pathlib
import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.adapters.builds import DatabaseBuilds
from service.adapters.database import FIRST, HEAD, MIGRATIONS, open_database
from service.adapters.repositories import DatabaseRepositories
from service.adapters.schema import metadata
from service.domain.build import BuildId, Status
from service.domain.errors import ConflictError
from service.domain.event import EventKind
from service.domain.repository import RepositoryId

SAMPLE = pathlib.Path(__file__).parents[1] / "samples" / "database" / "0.1.0.sql"


@pytest.fixture
def old(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "kiln.db"
    connection = sqlite3.connect(path)
    connection.executescript(SAMPLE.read_text())
    connection.close()
    return path


def test_the_newest_step_is_the_one_that_the_code_knows() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)

    assert script.get_heads() == [HEAD]
    assert script.get_base() == FIRST


@pytest.mark.parametrize("times", [1, 2])
def test_an_old_database_becomes_what_a_new_one_is(old: pathlib.Path, times: int) -> None:
    for _ in range(times):
        engine = open_database(f"sqlite:///{old}")
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        engine.dispose()


def test_what_was_in_an_old_database_is_still_there(old: pathlib.Path) -> None:
    engine = open_database(f"sqlite:///{old}")
    builds = DatabaseBuilds(engine, start=lambda _connection, _starts: None)

    repository = DatabaseRepositories(engine).get(RepositoryId("github/acme/blink"))
    build = builds.build(BuildId(1))

    assert (repository.host, repository.public, repository.connection) == ("github.com", True, "")
    assert (build.kind, build.status, build.may_release) == (EventKind.TAG, Status.SUCCEEDED, True)
    builds.close()
    engine.dispose()


def test_a_step_that_fails_changes_nothing(old: pathlib.Path) -> None:
    connection = sqlite3.connect(old)
    connection.execute("create table marks (something text)")  # in the way of a step
    before = "\n".join(connection.iterdump())

    with pytest.raises(sa.exc.OperationalError, match="marks"):
        open_database(f"sqlite:///{old}")

    assert "\n".join(connection.iterdump()) == before
    connection.close()


def test_a_database_of_a_newer_kiln_is_left_alone(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path / 'kiln.db'}"
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConflictError, match="newer Kiln"):
        open_database(url)
