"""The audit log on a real database."""

import datetime
import itertools
import pathlib

import pytest

from service.adapters.audit import DatabaseAudit, chained
from service.adapters.database import open_database
from service.domain.audit import MAX_DETAIL_CHARS, Deed
from service.domain.repository import RepositoryId

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
BLINK = RepositoryId("local/acme/blink")


@pytest.fixture
def audit(tmp_path: pathlib.Path) -> DatabaseAudit:
    return DatabaseAudit(open_database(f"sqlite:///{tmp_path / 'kiln.db'}"))


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
