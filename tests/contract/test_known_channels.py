"""A channel that a repository does not have is no device's, whether it is typed in a command, the API or a form."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.build import Build
from service.domain.rights import Role
from tests.contract.archive_stage import Stage
from tests.contract.terminal import Terminal
from tests.fakes.asgi import Reply
from tests.fakes.sources import FolderSources
from tests.servers import free_port, http_server
from tests.unit.service.test_flash import MANIFEST

SENTENCE = (
    "github/acme/secret has no channel 'betta'; did you mean beta? It has beta, stable; "
    "[channels] of kiln.toml names them, and `kiln releases promote --new-channel` makes one"
)
PROMOTED = (
    "github/acme/secret has no channel 'stable2'; did you mean stable? It has beta, stable; "
    'to make it, say --new-channel (over the API "new_channel": true)'
)
OF = {"repository": "github/acme/secret", "board": "unix"}


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path / "data")
    yield made
    made.site.close()


def post(stage: Stage, path: str, **fields: Any) -> Reply:
    return stage.owner.send("POST", path, json={**OF, **fields})


def promote(stage: Stage, build: Build, channel: str, **fields: Any) -> Reply:
    return stage.owner.send("POST", f"/api/v1/releases/{build.id}/promote", json={"channel": channel, **fields})


def branch(stage: Stage, name: str, manifest: str) -> None:
    """A build of it that failed, say."""
    build = stage.site.build(stage.site.of("secret"), f"{name} {manifest}", f"refs/heads/{name}")
    source = FolderSources({"kiln.toml": manifest.encode()}).fetch(stage.site.of("secret"), build.commit)
    stored = stage.site.kiln.objects.put(source)
    stage.site.kiln.builds.keep_source(build.id, digest=stored.digest, size_bytes=stored.size_bytes)


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

    promoted = promote(stage, build, "hall", new_channel=True)

    assert (promoted.status, promoted.fields["current_in"]) == (202, ["beta", "hall"])
    assert patch(stage, channel="hall").fields["channel"] == "hall"


def test_a_promotion_makes_a_channel_only_when_somebody_says_so(stage: Stage) -> None:
    build = stage.release("unix")

    mistyped = promote(stage, build, "stable2")
    listed = stage.owner.get("/api/v1/releases?repository=github/acme/secret&channel=stable2")

    assert (mistyped.status, mistyped.fields["error"]) == (400, PROMOTED)
    assert listed.fields["items"] == []
    assert promote(stage, build, "stable2", new_channel="yes").status == 400
    assert promote(stage, build, "stable").status == 202
    assert promote(stage, build, "hall", new_channel=True).status == 202
    assert promote(stage, build, "hall").status == 202  # it is there now
    assert promote(stage, build, "hall", new_channel=True).status == 202


def test_the_command_line_says_the_same(
    stage: Stage, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, port = stage.release("unix"), free_port()

    with http_server(stage.site.app, port):
        terminal = Terminal(port, capsys, tmp_path)
        mistyped = terminal.text("releases", "promote", str(build.id), "stable2")
        made, answer = terminal.run(f"releases promote {build.id} stable2 --new-channel")

    assert mistyped[0] == 1
    assert "did you mean stable?" in mistyped[1]
    assert (made, answer["current_in"]) == (0, ["beta", "stable2"])


def test_a_channel_of_another_branch_or_of_another_device_is_one(stage: Stage) -> None:
    """The newest manifest of each branch counts: what an older one said does not."""
    build = stage.release("unix")
    stage.enrol("here", "unix")
    stage.enrol("there", "unix")
    branch(stage, "work", MANIFEST + '[channels]\nwork = "attic"\n')
    branch(stage, "broken", "[firmware\n")
    assert patch(stage, channel="nightly").status == 400

    branch(stage, "work", MANIFEST + '[channels]\nwork = "nightly"\n')

    assert (patch(stage, channel="nightly").status, promote(stage, build, "nightly").status) == (200, 202)
    assert "It has beta, stable, nightly;" in patch(stage, channel="attic").fields["error"]


def test_a_channel_that_devices_follow_needs_no_word(stage: Stage) -> None:
    """They were made ahead of the build that was to name it."""
    added = post(stage, "/api/v1/devices", id="here", channel="hall")
    build = stage.release("unix")

    assert (added.status, promote(stage, build, "hall").status) == (201, 202)


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
