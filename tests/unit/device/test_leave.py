"""The order for which a board starts anew: never lost by a cut, never followed for ever."""

from pathlib import Path

import pytest

from ota import leave, slots

RAW = b"header.payload.signature"


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "kiln").mkdir()
    return str(tmp_path)


def waiting(root: str) -> list[int]:
    return [left for left in range(slots.STARTS + 1) if slots.waits(root, left)]


def test_an_order_waits_until_it_is_done(root: str) -> None:
    assert leave.order(root, RAW)
    assert waiting(root) == [3]

    assert leave.take(root) == (RAW, 0)
    assert waiting(root) == [2]

    leave.clear(root)
    assert waiting(root) == []
    assert leave.failed(root) == (None, 0)


def test_an_order_that_kills_the_board_is_passed_over_after_three_starts(root: str) -> None:
    leave.order(root, RAW, 2)

    assert [leave.take(root) for _ in range(3)] == [(RAW, 2)] * 3

    assert waiting(root) == [0]
    assert leave.take(root) == (b"", 0)
    assert leave.failed(root) == (RAW, 2)
    assert waiting(root) == []


def test_a_failure_is_told_once(root: str) -> None:
    leave.order(root, RAW)
    leave.take(root)

    leave.mark(root, RAW, 1)
    leave.clear(root)

    assert leave.failed(root) == (RAW, 1)
    assert leave.failed(root) == (None, 0)


def test_another_agent_is_an_order_without_words(root: str) -> None:
    leave.order(root, b"")

    assert leave.take(root) == (b"", 0)
    assert waiting(root) == [2]


def test_a_flash_that_is_full_keeps_no_order(tmp_path: Path) -> None:
    assert not leave.order(str(tmp_path / "nowhere"), RAW)


@pytest.mark.parametrize("left", range(slots.STARTS + 1))
def test_an_empty_order_and_a_folder_are_none(root: str, left: int) -> None:
    Path(slots.order_path(root, left)).touch()
    Path(slots.order_path(root, (left + 1) % (slots.STARTS + 1))).mkdir()

    assert waiting(root) == []
    assert leave.take(root) == (b"", 0)
    assert leave.failed(root) == (None, 0)


@pytest.mark.parametrize(("content", "failures"), [(b"\n", 0), (b"0", 0), (b"\xff\n", 9), (b"!x", 0)])
def test_whatever_an_order_says_it_is_taken_once(root: str, content: bytes, failures: int) -> None:
    Path(slots.order_path(root, 0)).write_bytes(content)

    assert leave.failed(root) == (b"", failures)
    assert waiting(root) == []
