"""`kiln keys` against a service over HTTP, and with a root key that is elsewhere."""

import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.terminal import terminal_of
from tests.fakes.site import Site

Run = Callable[[str], tuple[int, Any]]


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def run(site: Site, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    with terminal_of(site.app, tmp_path, capsys) as made:
        yield made.run


def test_a_release_key_is_rotated_and_revoked(run: Run, site: Site) -> None:
    old = site.kiln.keys.public("release").kid

    first = run("keys rotate release")
    second = run(f"keys revoke {old}")
    code, listed = run("keys list")

    assert (first[0], first[1]["version"], second[1]["version"]) == (0, 2, 3)
    assert code == 0
    release = [each["kid"] for each in listed["keys"] if each["role"] == "release"]
    assert release == [first[1]["key"]] != [old]


def test_a_root_key_lives_on_another_machine(run: Run, site: Site, tmp_path: pathlib.Path) -> None:
    keys = tmp_path / "data/keys"
    code, moved = run("keys export-root HERE/data/keys HERE/offline.pem")
    assert code == 0
    assert moved["key"] == site.kiln.keys.root().keys["root"][0].kid
    assert not (keys / "root.pem").exists()
    assert (tmp_path / "offline.pem").stat().st_mode & 0o777 == 0o600

    code, draft = run("keys rotate director --output HERE/root-2.txt")
    assert (code, draft["taken"]) == (0, False)
    assert "sign-root" in draft["then"]
    refused = run("keys add-root HERE/root-2.txt")
    assert refused[0] == 1
    assert "more wanted" in refused[1]
    signed = run("keys sign-root HERE/root-2.txt --key HERE/offline.pem")
    assert (signed[0], signed[1]["document"]["version"], signed[1]["signatures"]) == (0, 2, 1)
    added = run("keys add-root HERE/root-2.txt")

    assert (added[0], added[1]["version"]) == (0, 2)
    assert site.kiln.keys.root().version == 2
    assert "export-root" not in draft["then"]
    assert "export-root" in run("keys rotate root --output HERE/root-3.txt")[1]["then"]
    assert (keys / "root.pem").exists()


def test_nothing_is_written_over_and_nothing_lost(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "taken.pem").write_text("something dear")

    code, said = run("keys export-root HERE/data/keys HERE/taken.pem")

    assert code == 1
    assert "taken.pem" in said
    assert (tmp_path / "data/keys/root.pem").exists()
    assert (tmp_path / "taken.pem").read_text() == "something dear"


@pytest.mark.parametrize("line", ["sign-root HERE/no.txt --key HERE/no.pem", "add-root HERE/no.txt"])
def test_what_is_not_there_is_named(run: Run, line: str) -> None:
    code, said = run(f"keys {line}")

    assert code == 1
    assert "no.txt" in said


def test_the_sealing_key_is_changed_and_waited_for(run: Run, site: Site) -> None:
    def work() -> None:
        for _ in range(20):
            time.sleep(0 if site.kiln.sealed.resealer.step() else 0.1)

    seal = threading.Thread(target=work)
    _, before = run("keys sealing")

    seal.start()
    code, done = run("keys rotate-sealing")
    seal.join()
    entry = site.kiln.audit.entries()[0].deed

    assert (code, done["left"], done["place"]) == (0, 0, "instance.json")
    assert done["key"] != before["key"]
    assert (entry.what, entry.subject) == ("key.rotated", f"sealing {done['key']}")
    assert run("keys sealing")[1]["key"] == done["key"]


@pytest.mark.parametrize("target", ["GET /api/v1/keys/sealing", "POST /api/v1/keys/rotate-sealing"])
def test_the_sealing_key_is_the_administrators(site: Site, target: str) -> None:
    method, path = target.split()

    assert site.program("").send(method, path).status == 401
    assert site.browser().sign_in_as(site.user()).send(method, path).status == 403
