"""`kiln releases` against a service over HTTP."""

import pathlib
from collections.abc import Iterator

import pytest

from service.domain.release import Release
from tests.contract.terminal import Terminal
from tests.fakes.site import Site


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    blink = made.follow("acme/blink")
    for delivery in ("one", "two"):
        build = made.build(blink, delivery)
        release = Release(
            build=build.id,
            repository=blink.id,
            name="blink",
            version=f"1.{build.number}.0",
            counter=build.number,
            channel="beta",
            created_at=made.kiln.clock.now(),
            notes=f"- {delivery}",
        )
        made.kiln.builds.add_release(release, [])
    yield made
    made.close()


def test_a_release_goes_to_another_channel_and_is_taken_back(terminal: Terminal) -> None:
    promoted = terminal.text("releases", "promote", "2", "stable")
    listed = terminal.text("releases", "list", "github/acme/blink", "--channel", "stable")
    withdrawn = terminal.text("releases", "withdraw", "2", "--why", "bricks boards")
    shown = terminal.text("releases", "show", "2")
    refused = terminal.text("releases", "promote", "2", "stable")

    assert promoted[0] == 0
    assert '"version": "1.2.0"' in listed[1]
    assert '"taken_from": [' in withdrawn[1]
    assert '"withdrawn_why": "bricks boards"' in shown[1]
    assert refused == (1, "kiln: release 1.2.0 was withdrawn: bricks boards\n")


def test_notes_are_read_and_written(terminal: Terminal, tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("Lamps blink.\n\n- all of them\n")

    assert terminal.text("releases", "notes", "1") == (0, "- one\n")
    written = terminal.text("releases", "notes", "1", "--file", str(tmp_path / "notes.txt"))
    assert written == (0, "Lamps blink.\n\n- all of them\n")
    assert terminal.text("releases", "notes", "1", "--file", str(tmp_path / "none"))[0] == 1
