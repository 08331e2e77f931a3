"""`kiln audit` against a service over HTTP."""

import argparse
import json
import pathlib
from collections.abc import Iterator

import pytest

from service import cli
from service.domain.audit import Deed
from tests.fakes.site import ADMIN_TOKEN, Site
from tests.servers import free_port, http_server


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "data")
    for number in range(3):
        deed = Deed(who="github/1", what="release.promoted", subject=str(number), detail="\x1b[2J")
        made.kiln.audit.note(deed, now=made.kiln.clock.now())
    yield made
    made.close()


class Terminal:
    def __init__(self, port: int, capsys: pytest.CaptureFixture[str]) -> None:
        self._url, self._capsys = f"http://127.0.0.1:{port}", capsys

    def run(self, *words: str, token: str = ADMIN_TOKEN) -> tuple[int, str]:
        """Exit code, and what was printed."""
        parser = argparse.ArgumentParser()
        cli.add_commands(parser.add_subparsers(required=True))
        code = cli.run(cli.Client(url=self._url, token=token), parser.parse_args(["audit", *words]))
        printed = self._capsys.readouterr()
        return code, printed.out if code == 0 else printed.err


@pytest.fixture
def terminal(site: Site, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    port = free_port()
    with http_server(site.app, port):
        yield Terminal(port, capsys)


def test_what_is_exported_can_be_verified_without_the_service(terminal: Terminal, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "audit.ndjson"

    exported = terminal.run("export", "-o", str(file))
    here, there = terminal.run("verify"), terminal.run("verify", str(file))

    assert json.loads(exported[1])["entries"] == 3
    assert here == there
    assert json.loads(here[1])["entries"] == 3
    assert terminal.run("export")[1] == file.read_text()
    assert terminal.run("export", "-o", str(file))[0] == 1  # it is there already


def test_an_export_that_was_changed_or_cut_is_found_out(terminal: Terminal, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "audit.ndjson"
    terminal.run("export", "-o", str(file))
    lines = file.read_text().splitlines(keepends=True)
    last = json.loads(terminal.run("verify", str(file))[1])["last"]

    file.write_text("".join(lines).replace("github/1", "github/2", 1))
    changed = terminal.run("verify", str(file))
    file.write_text("".join(lines[:2]))
    cut = terminal.run("verify", str(file), "--seen", last)
    file.write_text("{}\n")
    other = terminal.run("verify", str(file))

    assert changed[0] == cut[0] == other[0] == 1
    assert "entry 1 (release.promoted by github/2) does not follow the beginning" in changed[1]
    assert "entry 3 is not there as it was seen" in cut[1]
    assert "no export of the audit log" in other[1]


def test_the_list_is_the_newest_first(terminal: Terminal) -> None:
    listed = json.loads(terminal.run("list", "--limit", "2")[1])

    assert [each["subject"] for each in listed["items"]] == ["2", "1"]
    assert terminal.run("list", "--repository", "github/acme/none")[0] == 1
    assert terminal.run("export", token="nobody")[0] == 1
