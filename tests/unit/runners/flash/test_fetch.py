"""Fetching base firmware: whole and right, or not at all."""

import pathlib
from collections.abc import Callable

from runners.contract.board import Catalogue
from runners.errors import TransportError
from runners.flash.fetch import FETCHED, THERE, fetch
from runners.flash.firmware import LIST, FirmwareFolder
from runners.flash.image import MAX_FIRMWARE_BYTES
from tests.fakes.firmware import listed

URL = "https://firmware.example/"


def shop(url: str) -> bytes:
    """A server: every file holds its own name, but for some."""
    name = url.removeprefix(URL)
    if name == "gone":
        raise TransportError(f"{url} cannot be read: Not Found")
    return b"\0" * (MAX_FIRMWARE_BYTES + 1) if name == "huge" else name.encode()


def outcome(at: pathlib.Path, text: str, get: Callable[[str], bytes] | None = shop) -> dict[str, str]:
    (at / LIST).write_text(text)
    return {each.name: became for each, became in fetch(FirmwareFolder(at, Catalogue.load()), get)}


def entry(name: str, content: bytes = b"", url: str = "") -> str:
    return listed(name, content or name.encode(), board="esp32-generic", url=url or URL + name)


def test_what_is_missing_is_fetched_once(tmp_path: pathlib.Path) -> None:
    first, second = outcome(tmp_path, entry("a")), outcome(tmp_path, entry("a"))

    assert (first, second) == ({"a": FETCHED}, {"a": THERE})
    assert (tmp_path / "a").read_bytes() == b"a"


def test_what_is_wrong_is_not_kept_and_the_others_are(tmp_path: pathlib.Path) -> None:
    became = outcome(tmp_path, entry("wrong", b"right") + entry("gone") + entry("huge") + entry("good"))

    assert became["wrong"].startswith("the base firmware wrong is refused: its sha256 is ")
    assert became["gone"] == f"{URL}gone cannot be read: Not Found"
    assert became["huge"] == "the base firmware huge is larger than 16777216 bytes"
    assert became["good"] == FETCHED
    assert {path.name for path in tmp_path.iterdir()} == {LIST, "good"}


def test_a_list_can_be_looked_at_without_fetching(tmp_path: pathlib.Path) -> None:
    (tmp_path / "here").write_bytes(b"here")

    assert outcome(tmp_path, entry("here") + entry("a"), None) == {
        "here": THERE,
        "a": "is missing: `kiln firmware fetch` gets it",
    }


def test_a_file_that_was_changed_is_named_and_not_overwritten(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")

    assert outcome(tmp_path, entry("a"))["a"].startswith("the base firmware a is refused")
    assert (tmp_path / "a").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".a.part").mkdir()

    assert outcome(tmp_path, entry("a")) == {"a": "a cannot be written: Is a directory"}
