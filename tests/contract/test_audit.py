"""The audit log on a real database."""

import datetime
import itertools
import pathlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.adapters.audit import DatabaseAudit
from service.adapters.database import open_database
from service.domain.audit import MAX_DETAIL_CHARS, Deed, chained, check
from service.domain.repository import RepositoryId

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
BLINK = RepositoryId("local/acme/blink")


SAMPLE = pathlib.Path(__file__).parents[1] / "samples" / "database" / "0.1.0.sql"


@pytest.fixture(params=["new", "of an older Kiln"])
def database(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "kiln.db"
    if request.param != "new":
        connection = sqlite3.connect(path)
        connection.executescript(SAMPLE.read_text())
        connection.close()
    return path


@pytest.fixture
def audit(database: pathlib.Path) -> Iterator[DatabaseAudit]:
    engine = open_database(f"sqlite:///{database}", durable=False)
    yield DatabaseAudit(engine)
    engine.dispose()


def noted(audit: DatabaseAudit, count: int = 5) -> None:
    for number in range(count):
        audit.note(Deed(who="administrator", what="device.retired", subject=f"d{number}"), now=NOW)


def test_entries_come_newest_first_and_page_by_page(audit: DatabaseAudit) -> None:
    for number in range(5):
        audit.note(Deed(who="administrator", what="device.retired", subject=f"d{number}"), now=NOW)

    first = audit.entries(limit=2)
    then = audit.entries(before=first[-1].id, limit=10)

    assert [each.deed.subject for each in [*first, *then]] == ["d4", "d3", "d2", "d1", "d0"]


def test_entries_of_one_repository_alone(audit: DatabaseAudit) -> None:
    audit.note(Deed(who="administrator", what="key.rotated"), now=NOW)
    kept = audit.note(Deed(who="user/1", what="release.promoted", repository=BLINK), now=NOW)

    assert audit.entries(BLINK) == [kept]


def test_each_entry_vouches_for_those_before_it(audit: DatabaseAudit) -> None:
    for number in range(4):
        audit.note(Deed(who="kiln", what="rollout.advanced", subject=str(number), detail="x" * 900), now=NOW)
    kept = audit.entries()[::-1]

    for before, each in itertools.pairwise(kept):
        words = {"who": "kiln", "what": "rollout.advanced", "repository": "", "subject": each.deed.subject}
        words["detail"] = "x" * MAX_DETAIL_CHARS
        assert each.chain == chained(before.chain, NOW.timestamp(), words)


def test_those_who_note_at_once_follow_each_other(audit: DatabaseAudit) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: audit.note(Deed(who="kiln", what="x.y", subject=str(n)), now=NOW), range(40)))

    looked = check(each.row for each in audit.whole())

    assert len({each.chain for each in done}) == 40
    assert (looked.entries, looked.broken) == (40, "")


def test_the_whole_log_is_read_page_by_page(audit: DatabaseAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.audit.PAGE", 2)
    noted(audit)

    assert [each.deed.subject for each in audit.whole()] == ["d0", "d1", "d2", "d3", "d4"]
    assert list(audit.whole(BLINK)) == []


@pytest.mark.parametrize(
    "attack",
    [
        "update audit set who = 'eve' where id = 2",
        "delete from audit where id = 2",
        "delete from audit",
        "insert or replace into audit (id, at, who, what, chain) values (2, 0, 'x', 'y', 'z')",
        "replace into audit (id, at, who, what, chain) values (2, 0, 'x', 'y', 'z')",
        "insert into audit (id, at, who, what, chain) values (2, 0, '', '', '') on conflict do update set who = ''",
    ],
)
def test_the_database_takes_no_change_of_an_entry(audit: DatabaseAudit, database: pathlib.Path, attack: str) -> None:
    noted(audit)
    before = audit.entries()
    connection = sqlite3.connect(database)

    with pytest.raises(sqlite3.IntegrityError, match="the audit log only grows"):
        connection.execute(attack)
    connection.close()

    assert audit.entries() == before


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (
            "update audit set who = 'eve' where id = 2",
            "entry 2 (device.retired by eve) does not follow",
        ),
        (
            "update audit set at = at + 1 where id = 3",
            "entry 3 (device.retired by administrator) does not follow entry 2",
        ),
        ("delete from audit where id = 3", "entry 4 (device.retired by administrator) does not follow entry 2"),
        ("delete from audit where id = 1", "entry 2 (device.retired by administrator) does not follow the beginning"),
        (
            "update audit set chain = 'x' where id = 5",
            "entry 5 (device.retired by administrator) does not follow entry 4",
        ),
        ("delete from audit where id > 3", "entry 5 is not there as it was seen"),
    ],
)
def test_what_was_changed_without_the_database_s_leave_is_found(
    audit: DatabaseAudit, database: pathlib.Path, attack: str, said: str
) -> None:
    noted(audit)
    seen = check(each.row for each in audit.whole()).last
    connection = sqlite3.connect(database)
    for name in ("update", "delete", "replace"):
        connection.execute(f"drop trigger audit_no_{name}")
    connection.execute(attack)
    connection.commit()
    connection.close()

    assert check((each.row for each in audit.whole()), seen=seen).broken.startswith(said)
