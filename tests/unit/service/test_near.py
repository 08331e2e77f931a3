"""Which name somebody may have meant."""

import pytest

from service.domain.near import MAX_SHOWN, asked, nearest

REPOSITORIES = ["github/acme/blink", "local/acme/blink", "gitlab/acme/greenhouse", "github/other/lamp"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("acme/blink", ["github/acme/blink", "local/acme/blink"]),
        ("blink", ["github/acme/blink", "local/acme/blink"]),
        ("/Acme/Blink/", ["github/acme/blink", "local/acme/blink"]),
        ("github/acme/blnik", ["github/acme/blink"]),
        ("greenhouse", ["gitlab/acme/greenhouse"]),
        ("entirely-else", []),
        ("", []),
        ("/", []),
    ],
)
def test_the_nearest_names_come_first(typed: str, meant: list[str]) -> None:
    assert nearest(typed, REPOSITORIES)[: len(meant) or None] == meant


def test_no_more_are_shown_than_a_sentence_has_room_for() -> None:
    assert nearest("roof-1", [f"roof-{number}" for number in range(50)])[0] == "roof-1"
    assert len(nearest("roof-1", [f"roof-{number}" for number in range(50)])) == MAX_SHOWN
    assert nearest("x" * 10_000, ["x" * 80]) == ["x" * 80]


def test_a_sentence_asks_only_where_something_is_near() -> None:
    assert asked("betta", ["beta", "stable"]) == "; did you mean beta?"
    assert asked("nightly", ["beta", "stable"]) == ""
