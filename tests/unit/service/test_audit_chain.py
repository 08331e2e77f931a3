"""The chain of the audit log: whatever is done to it is seen."""

import contextlib
import datetime
from typing import Any

from hypothesis import given, settings, strategies as st

from service.domain.audit import MAX_DETAIL_CHARS, MAX_SUBJECT_CHARS, Deed, Entry, chained, check, words_of

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
FIELDS = ("at", "who", "what", "repository", "subject", "detail", "chain")

_deeds = st.builds(
    Deed, who=st.text(max_size=5), what=st.text(max_size=5), subject=st.text(max_size=5), detail=st.text(max_size=9)
)
_logs = st.lists(_deeds, min_size=1, max_size=8)


def rows(deeds: list[Deed]) -> list[dict[str, Any]]:
    made, chain = [], ""
    for number, deed in enumerate(deeds, 1):
        at = NOW + datetime.timedelta(seconds=number, microseconds=number * 137)
        chain = chained(chain, at.timestamp(), words_of(deed))
        made.append(Entry(id=number, at=at, deed=deed, chain=chain).row)
    return made


@settings(max_examples=30)
@given(_logs)
def test_what_was_not_touched_holds(deeds: list[Deed]) -> None:
    looked = check(rows(deeds))

    assert (looked.entries, looked.broken) == (len(deeds), "")
    assert check(rows(deeds), seen=looked.last) == looked


@settings(max_examples=30)
@given(_logs, st.data())
def test_a_field_that_was_changed_is_found(deeds: list[Deed], data: st.DataObject) -> None:
    made = rows(deeds)
    row, name = data.draw(st.sampled_from(made)), data.draw(st.sampled_from(FIELDS))
    row[name] = row[name] + 1 if name == "at" else f"{row[name]}x"

    assert check(made).broken.startswith(f"entry {row['id']} ")


@settings(max_examples=30)
@given(_logs, st.data())
def test_an_entry_that_is_gone_or_elsewhere_is_found(deeds: list[Deed], data: st.DataObject) -> None:
    made = rows(deeds)
    last = check(made).last
    taken = made.pop(data.draw(st.integers(0, len(made) - 1)))

    assert check(made, seen=last).broken
    made.insert(0, taken)
    assert check(made).broken or made == rows(deeds)


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from(("id", *FIELDS)), st.integers() | st.text(max_size=3) | st.none())))
def test_what_is_no_log_is_no_log(made: list[dict[str, Any]]) -> None:
    found = None
    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
        found = check(made)

    assert found is None or found.broken or not made


def test_words_are_cut_to_their_limits_before_the_chain() -> None:
    words = words_of(Deed(who="kiln", what="x.y", subject="s" * 999, detail="d" * 999))

    assert (len(words["subject"]), len(words["detail"])) == (MAX_SUBJECT_CHARS, MAX_DETAIL_CHARS)
