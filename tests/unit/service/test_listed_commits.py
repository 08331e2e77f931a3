"""Which commits came with a push, as far as its delivery says."""

import pytest

from service.adapters.forges.sayings import listed
from service.domain.event import MAX_COMMITS, MAX_TITLE_CHARS


def commit(number: int, message: object = None) -> dict[str, object]:
    return {"id": f"{number:040x}", "message": f"commit {number}\n\ntext" if message is None else message}


def test_each_with_the_first_line_of_its_message() -> None:
    assert listed([commit(1), commit(2, "x" * 999)], None) == (
        (f"{1:040x}", "commit 1"),
        (f"{2:040x}", "x" * MAX_TITLE_CHARS),
    )


def test_the_newest_where_there_are_many() -> None:
    found = listed([commit(number) for number in range(MAX_COMMITS + 7)], None)

    assert found is not None
    assert found[0] == ("", "7 earlier commits")
    assert len(found) == MAX_COMMITS + 1
    assert found[-1][1] == f"commit {MAX_COMMITS + 6}"


@pytest.mark.parametrize("in_all", [None, "21", -1, True, 2**70, 1])
def test_a_count_that_cannot_be_is_passed_over(in_all: object) -> None:
    assert listed([commit(1)], in_all) == ((f"{1:040x}", "commit 1"),)


def test_what_is_no_commit_is_passed_over() -> None:
    odd: list[dict[str, object]] = [{}, {"id": 5}, {"id": "zz"}, commit(1, 5)]

    assert listed(odd, None) == (("", "3 earlier commits"), (f"{1:040x}", ""))
    assert listed([], 20) is None
