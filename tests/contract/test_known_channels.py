"""A channel that a repository does not have is no device's, whether it is typed in a command, the API or a form."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.rights import Role
from tests.contract.archive_stage import Stage
from tests.contract.terminal import Terminal
from tests.fakes.asgi import Reply
from tests.servers import free_port, http_server

SENTENCE = (
    "github/acme/secret has no channel 'betta'; did you mean beta? It has beta, stable; "
    "[channels] of kiln.toml names them, and `kiln releases promote` makes one"
)
OF = {"repository": "github/acme/secret", "board": "unix"}


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path / "data")
    yield made
    made.site.close()


def post(stage: Stage, path: str, **fields: Any) -> Reply:
    return stage.owner.send("POST", path, json={**OF, **fields})


def patch(stage: Stage, **fields: Any) -> Reply:
    return stage.owner.send("PATCH", "/api/v1/devices/here", json=fields)


def test_a_mistyped_channel_is_said_and_nothing_is_made(stage: Stage) -> None:
    stage.release("unix")
    stage.enrol("here", "unix")

    added = post(stage, "/api/v1/devices", id="desk-1", channel="betta")
    claimed = post(stage, "/api/v1/claims", channel="betta")
    moved = patch(stage, channel="betta")

    assert [(each.status, each.fields["error"]) for each in (added, claimed, moved)] == [(400, SENTENCE)] * 3
    assert stage.owner.get("/api/v1/devices/desk-1").status == 404
    assert stage.owner.get("/api/v1/claims").fields["items"] == []
    assert stage.owner.get("/api/v1/devices/here").fields["channel"] == "beta"


def test_where_no_channel_is_near_all_are_named(stage: Stage) -> None:
    stage.release("unix")

    said = post(stage, "/api/v1/devices", id="desk-1", channel="hall").fields["error"]

    assert said.startswith("github/acme/secret has no channel 'hall'. It has beta, stable; ")


def test_the_form_says_it_too(stage: Stage) -> None:
    stage.release("unix")

    page = stage.owner.post("/new-device", id="desk-1", channel="betta", **OF)

    assert (page.status, "did you mean beta?" in page.body.decode()) == (400, True)


def test_a_channel_of_the_manifest_needs_no_release(stage: Stage) -> None:
    stage.release("unix")

    added = post(stage, "/api/v1/devices", id="here", channel="stable")

    assert (added.status, added.fields["note"]) == (201, "")
    assert patch(stage, channel="beta").status == 200


def test_a_channel_that_a_promotion_made_is_one(stage: Stage) -> None:
    build = stage.release("unix")
    stage.enrol("here", "unix")
    assert patch(stage, channel="hall").status == 400

    promoted = stage.owner.send("POST", f"/api/v1/releases/{build.id}/promote", json={"channel": "hall"})

    assert promoted.status == 202

    assert patch(stage, channel="hall").fields["channel"] == "hall"


def test_without_a_build_devices_are_made_ahead_and_the_answer_says_so(
    stage: Stage, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.site.follow("acme/empty")
    stage.site.user(1, "ann", empty=Role.OWNER)
    note = "github/acme/empty has no build that says which channels it has: see that one of them is called betta"
    line, port = "--repository github/acme/empty --board unix --channel betta", free_port()

    with http_server(stage.site.app, port):
        terminal = Terminal(port, capsys, tmp_path)
        added, claimed = terminal.run(f"devices add here {line}"), terminal.run(f"devices claim make {line}")

    assert [(code, said["note"]) for code, said in (added, claimed)] == [(0, note)] * 2
    assert patch(stage, channel="bta").fields["channel"] == "bta"
