"""Writers to one SQLite database wait for each other: often and briefly, so that nobody waits for the longest."""

import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from service.adapters.database import SLEEPS_MS, open_database

HELD_S = 0.2  # many times as long as SQLite itself waits

Write = Callable[[sa.Connection], object]


def one(connection: sa.Connection) -> object:
    return connection.execute(sa.text("insert into words values ('one')"))


def many(connection: sa.Connection) -> object:
    return connection.execute(sa.text("insert into words values (:word)"), [{"word": "one"}, {"word": "two"}])


@pytest.fixture
def url(tmp_path: pathlib.Path) -> str:
    return f"sqlite:///{tmp_path / 'kiln.db'}"


@pytest.fixture
def holder(url: str) -> Iterator[sa.Connection]:
    """Has written, and not committed."""
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sa.text("create table words (word text)"))
    with engine.connect() as connection:
        one(connection)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("write", [one, many])
def test_a_writer_waits_for_another(holder: sa.Connection, url: str, write: Write) -> None:
    engine = open_database(url)
    let_go = threading.Timer(HELD_S, holder.commit)
    began = time.monotonic()
    let_go.start()

    with engine.begin() as connection:
        write(connection)
        count = connection.execute(sa.text("select count(*) from words")).scalar()
    took = time.monotonic() - began
    let_go.join()
    engine.dispose()

    assert took > HELD_S / 2 > 10 * SLEEPS_MS / 1000
    assert count == (2 if write is one else 3)


@pytest.mark.parametrize("write", [one, many])
def test_its_patience_ends(holder: sa.Connection, url: str, write: Write) -> None:
    engine = open_database(url, busy_ms=50)

    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="locked"):
        write(connection)
    engine.dispose()

    assert holder.in_transaction()


def test_another_error_is_not_tried_again(holder: sa.Connection, url: str) -> None:
    engine = open_database(url)

    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="no such table"):
        connection.execute(sa.text("select word from nowhere"))
    engine.dispose()

    assert holder.in_transaction()
