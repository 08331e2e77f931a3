"""Which deliveries are sent again."""

import datetime

from hypothesis import given, strategies as st

from service.adapters.forges.github_deliveries import MAX_ATTEMPTS, Attempt, failed

NOON = datetime.datetime(2026, 5, 4, 12, 0, tzinfo=datetime.UTC)


def attempt(number: int, guid: str, *, ok: bool = False) -> Attempt:
    return Attempt(id=number, guid=guid, at=NOON + datetime.timedelta(minutes=number), is_ok=ok, repository=None)


def test_the_newest_attempt_of_what_never_succeeded_oldest_delivery_first() -> None:
    attempts = [attempt(9, "a"), attempt(8, "c"), attempt(5, "b", ok=True), attempt(4, "b"), attempt(1, "a")]
    assert [each.id for each in failed(attempts)] == [9, 8]


def test_what_we_keep_refusing_is_let_be() -> None:
    assert failed(attempt(number, "a") for number in range(MAX_ATTEMPTS)) == []
    assert len(failed(attempt(number, "a") for number in range(MAX_ATTEMPTS - 1))) == 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=20))
def test_a_delivery_is_sent_again_at_most_once_and_never_after_a_success(kinds: list[tuple[str, bool]]) -> None:
    attempts = [attempt(number, guid, ok=ok) for number, (guid, ok) in enumerate(kinds)]
    again = [each.guid for each in failed(attempts)]
    assert len(again) == len(set(again))
    assert not set(again) & {guid for guid, ok in kinds if ok}
