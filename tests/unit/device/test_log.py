"""The last lines of a device: bounded in RAM, on flash only when asked, plain text."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ota import hal, logbook


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    hal.written = 0
    yield
    hal.written = 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "kiln").mkdir()
    return tmp_path


def test_it_keeps_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    hal.log("broker:", 5)
    hal.log("update to", "abc")

    assert logbook.tail() == "broker: 5\nupdate to abc\n"
    assert capsys.readouterr().out == "[ota] broker: 5\n[ota] update to abc\n"


@pytest.mark.parametrize("length", [0, 1, 7, 30, 511, 638, 639, 640, 641, 5000])
def test_it_keeps_the_newest_640_bytes(length: int) -> None:
    said = ""
    for number in range(200):
        line = f"{number} " + "x" * (length if number == 150 else number % 23)
        hal.log(line)
        said += line + "\n"
        assert logbook.tail() == said[-640:]


def test_other_characters_than_ascii_are_marked_bytewise() -> None:
    hal.log("schöne\tneue\x00Welt")

    assert logbook.tail() == "sch??ne?neue?Welt\n"
    assert len(logbook.tail()) == len(logbook.tail().encode())


def test_the_flash_keeps_what_was_before_the_start(root: Path) -> None:
    hal.log("roll back: crashed")
    logbook.keep(str(root))
    hal.written = 0

    hal.log("start 1.0.0")

    assert logbook.tail(str(root)) == "roll back: crashed\n-- start\nstart 1.0.0\n"
    assert [path.name for path in (root / "kiln").iterdir()] == ["log"]


def test_both_together_stay_within_1024_bytes(root: Path) -> None:
    for number in range(90):
        hal.log("before", number)
    logbook.keep(str(root))
    hal.written = 0
    for number in range(60):
        hal.log("after", number)

    text = logbook.tail(str(root))

    assert len(text) == 1024
    assert "before 89\n-- start\nafter 0\n" in text


def test_without_a_place_on_flash_it_goes_on(root: Path) -> None:
    (root / "kiln").rmdir()

    logbook.keep(str(root))

    assert "log not kept" in logbook.tail(str(root))


def test_a_damaged_file_is_still_text(root: Path) -> None:
    (root / "kiln" / "log").write_bytes(bytes(range(256)) * 8)
    hal.log("here")

    text = logbook.tail(str(root))

    assert text.endswith("-- start\nhere\n")
    assert len(text.encode()) <= 1024
