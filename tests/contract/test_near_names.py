"""Whoever mistypes a name is asked whether they meant another, and never told of one that they may not see."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.repository import Forge
from service.domain.rights import Role
from service.web.auth import NOTHING
from tests.contract.archive_stage import Stage
from tests.fakes.site import ADMIN_TOKEN, Browser

BOTH = "; did you mean github/acme/blink or local/acme/blink?"
GITHUB = "; did you mean github/acme/blink?"


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    """`github/acme/secret` of ann, with devices; both blinks; ann sees the one of GitHub."""
    made = Stage.over(tmp_path)
    made.site.follow("acme/blink")
    made.site.follow("acme/blink", forge=Forge.LOCAL)
    made.site.user(1, "ann", blink=Role.OWNER)
    yield made
    made.site.close()


def said(by: Browser, target: str, method: str = "GET", **fields: Any) -> str:
    reply = by.send(method, target, json=fields or None)
    assert reply.status == 404
    return str(reply.fields["error"])


@pytest.mark.parametrize("typed", ["acme/blink", "Acme/blink", "blink"])
def test_a_repository_without_its_forge_is_asked_for(stage: Stage, typed: str) -> None:
    admin = stage.site.program(ADMIN_TOKEN)
    fields = {"repository": typed, "board": "unix"}

    for by, before, asked in ((admin, f"no repository {typed!r}", BOTH), (stage.owner, NOTHING, GITHUB)):
        assert said(by, f"/api/v1/repositories/{typed}") == before + asked
        assert said(by, f"/api/v1/builds?repository={typed}") == before + asked
        assert said(by, f"/api/v1/devices?repository={typed}") == before + asked
        assert said(by, "/api/v1/devices", "POST", id="x", **fields) == before + asked
        assert said(by, "/api/v1/claims", "POST", **fields) == before + asked
    assert said(stage.site.browser(), f"/api/v1/builds?repository={typed}") == NOTHING


def test_a_repository_that_is_not_theirs_looks_like_none(stage: Stage) -> None:
    """Also where the name that was typed is right."""
    local = said(stage.owner, "/api/v1/builds?repository=local/acme/blink")
    none = said(stage.owner, "/api/v1/builds?repository=loca/acme/blink")

    assert local == none == NOTHING + GITHUB


def test_a_device_is_asked_for(stage: Stage) -> None:
    for name in ("roof-1", "roof-2", "cellar"):
        stage.enrol(name, "unix")
    admin = stage.site.program(ADMIN_TOKEN)
    asked = "; did you mean roof-2 or roof-1?"

    assert said(admin, "/api/v1/devices/roof2") == f"no device 'roof2'{asked}"
    assert said(stage.owner, "/api/v1/devices/roof2") == NOTHING + asked
    assert said(admin, "/api/v1/settings?device=roof2") == f"no device 'roof2'{asked}"
    assert said(stage.viewer, "/api/v1/devices/roof2") == NOTHING
    assert said(admin, "/api/v1/devices/attic") == "no device 'attic'"


def test_a_stranger_is_asked_to_sign_in_for_what_is_public(stage: Stage) -> None:
    stage.site.kiln.repositories.change(stage.site.of("secret").id, public=True)
    stage.enrol("roof-1", "unix")

    assert [stage.site.browser().get(f"/api/v1/devices/roof-{number}").status for number in (1, 2)] == [401, 401]
    assert stage.viewer.get("/api/v1/devices/roof-1").status == 403


def test_a_retired_device_is_not_asked_for(stage: Stage) -> None:
    stage.enrol("roof-1", "unix")
    stage.owner.send("DELETE", "/api/v1/devices/roof-1")

    assert said(stage.owner, "/api/v1/devices/roof-2") == NOTHING


def test_a_group_is_asked_for(stage: Stage) -> None:
    of = {"repository": "github/acme/secret"}
    stage.enrol("here", "unix")
    assert stage.owner.send("POST", "/api/v1/groups", json={**of, "name": "roof"}).status == 201
    asked = "; did you mean roof?"

    device = {**of, "board": "unix", "group": "rof"}
    none = f"no group 'rof' in github/acme/secret{asked}"
    assert said(stage.owner, "/api/v1/devices", "POST", id="x", **device) == none
    assert said(stage.owner, "/api/v1/groups/rof?repository=github/acme/secret", "DELETE") == none
    shared = {**of, "group": "rof", "values": {"A": "x"}}
    assert said(stage.owner, "/api/v1/settings", "PATCH", **shared) == none
    moved = said(stage.owner, "/api/v1/devices/here", "PATCH", group="rof")
    assert moved == f"no group 'rof' in the repository of this device{asked}"


def test_a_release_is_asked_for(stage: Stage) -> None:
    build = stage.release("unix")
    stage.enrol("here", "unix")
    number = int(f"{build.number}0")
    asked = f"; did you mean {build.number}?"

    assert said(stage.owner, f"/api/v1/releases/{number}") == NOTHING + asked
    pinned = said(stage.owner, "/api/v1/devices/here/pin", "PUT", release=number)
    assert pinned == f"no release {number} of github/acme/secret{asked}"
    assert said(stage.site.browser(), f"/api/v1/releases/{number}") == NOTHING
