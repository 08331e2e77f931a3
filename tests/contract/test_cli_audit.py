"""`kiln audit` against a service over HTTP."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from service.domain.audit import Deed
from tests.contract.terminal import Terminal
from tests.fakes.site import Site


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "data")
    for number in range(3):
        deed = Deed(who="github/1", what="release.promoted", subject=str(number), detail="\x1b[2J")
        made.kiln.audit.note(deed, now=made.kiln.clock.now())
    yield made
    made.close()


def test_what_is_exported_can_be_verified_without_the_service(terminal: Terminal, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "audit.ndjson"

    exported = terminal.text("audit", "export", "-o", str(file))
    here, there = terminal.text("audit", "verify"), terminal.text("audit", "verify", str(file))

    assert json.loads(exported[1])["entries"] == 3
    assert here == there
    assert json.loads(here[1])["entries"] == 3
    assert terminal.text("audit", "export")[1] == file.read_text()
    assert terminal.text("audit", "export", "-o", str(file))[0] == 1  # it is there already


def test_an_export_that_was_changed_or_cut_is_found_out(terminal: Terminal, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "audit.ndjson"
    terminal.text("audit", "export", "-o", str(file))
    lines = file.read_text().splitlines(keepends=True)
    last = json.loads(terminal.text("audit", "verify", str(file))[1])["last"]

    file.write_text("".join(lines).replace("github/1", "github/2", 1))
    changed = terminal.text("audit", "verify", str(file))
    file.write_text("".join(lines[:2]))
    cut = terminal.text("audit", "verify", str(file), "--seen", last)
    file.write_text("{}\n")
    other = terminal.text("audit", "verify", str(file))

    assert changed[0] == cut[0] == other[0] == 1
    assert "entry 1 (release.promoted by github/2) does not follow the beginning" in changed[1]
    assert "entry 3 is not there as it was seen" in cut[1]
    assert "no export of the audit log" in other[1]


def test_the_list_is_the_newest_first(terminal: Terminal) -> None:
    listed = json.loads(terminal.text("audit", "list", "--limit", "2")[1])

    assert [each["subject"] for each in listed["items"]] == ["2", "1"]
    assert terminal.text("audit", "list", "--repository", "github/acme/none")[0] == 1
    assert terminal.text("audit", "export", token="nobody")[0] == 1
