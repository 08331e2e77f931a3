"""A device's archive: what is in it."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from service.adapters.agents import compiled, compiled_loader
from service.domain.device import DeviceId
from service.records import Made
from tests.contract.archive_stage import FILES, PASSWORD, Stage
from tests.unit.service.test_first_images import inside

AGENT = {f"lib/{each.path}": each.content for each in (compiled_loader(), *compiled())}


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path)
    yield made
    made.site.close()


def test_an_archive_holds_the_board_as_it_is_to_be(stage: Stage) -> None:
    build = stage.release("esp32-generic")
    device = stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop", WIFI_PASSWORD=PASSWORD, PERIOD_S=5)

    found = stage.archive("desk-1")

    board = {path.removeprefix("desk-1/board/"): each for path, each in found.files.items() if "/board/" in path}
    assert {path: board[path] for path in AGENT} == AGENT
    assert board["main.py"] == b"import ota_loader\n\nota_loader.run()\n"
    assert {path: board[f"a/{path}"] for path in FILES} == FILES
    assert json.loads(board["kiln/device.json"]) == device.file
    assert json.loads(board["kiln/settings.json"]) == {
        "WIFI_SSID": "workshop",
        "WIFI_PASSWORD": PASSWORD,
        "PERIOD_S": 5,
    }
    assert json.loads(board["kiln/trust.json"]) == stage.site.kiln.keys.root().entries()
    assert json.loads(board["kiln/state.json"])["a"]["counter"] == build.number
    kept = stage.site.kiln.sealed.configurations.get(DeviceId("desk-1"))
    state = json.loads(board["kiln/state.json"])
    assert (state["config"], state["configs"]) == ("a", {"a": kept.digest, "b": ""})
    assert board["kiln/config.a"].startswith(kept.digest.encode())
    assert json.loads(board["kiln/config.a"].partition(b"\n")[2])["settings"]["PERIOD_S"] == 5
    own = {f"kiln/{name}" for name in ("device.json", "settings.json", "trust.json", "a.jws", "a.index", "config.a")}
    assert set(board) - set(AGENT) - {f"a/{path}" for path in FILES} - own == {
        "main.py",
        "data/",
        "kiln/state.json",
        "kiln/floor.json",
    }
    assert set(found.files) - {f"desk-1/board/{path}" for path in board} == {
        "desk-1/README.txt",
        "desk-1/install.sh",
        "desk-1/esp32-generic-4M.bin",
    }


def test_a_configuration_that_would_lead_the_board_away_is_not_laid_out(stage: Stage) -> None:
    """It was told of another address once, and KILN_BASE_URL was changed since."""
    from dataclasses import replace

    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")
    kiln = stage.site.kiln
    device, kept = kiln.fleet.device(DeviceId("desk-1")), kiln.sealed.configurations.get(DeviceId("desk-1"))
    assert "desk-1/board/kiln/config.a" in stage.archive("desk-1").names

    moved = replace(kept, secrets=replace(kept.secrets, device={"base": "http://old.example"}))
    assert kiln.sealed.configurations.change(Made(device=device, configuration=moved))
    found = stage.archive("desk-1")

    assert "desk-1/board/kiln/config.a" not in found.names
    assert "config" not in found.json("desk-1/board/kiln/state.json")
    assert found.json("desk-1/board/kiln/device.json")["base"] == "http://kiln.example"


def test_the_flash_image_has_the_same_files_inside(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")

    found = stage.archive("desk-1")
    alone = stage.owner.get("/api/v1/devices/desk-1/flash")

    held = inside(alone.body[0x200000:])
    prefix = "desk-1/board/"
    assert held == {
        path.removeprefix(prefix): each
        for path, each in found.files.items()
        if path.startswith(prefix) and path[-1] != "/"
    }
    assert found.files["desk-1/esp32-generic-4M.bin"] == alone.body
    assert alone.headers["content-disposition"] == 'attachment; filename="desk-1-esp32-generic-4M.bin"'
    assert alone.headers["cache-control"] == "no-store"


def test_equal_archives_are_equal_bytes_in_an_order_of_their_names(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")

    first, second = [stage.owner.get("/api/v1/devices/desk-1/archive") for _ in range(2)]
    found = stage.archive("desk-1")

    assert first.body == second.body
    assert found.names[:2] == ["desk-1/README.txt", "desk-1/install.sh"]
    assert found.names[-1] == "desk-1/esp32-generic-4M.bin"
    assert found.names[2:-1] == sorted(found.names[2:-1])
    assert first.headers["content-type"] == "application/zip"
    assert first.headers["content-disposition"] == 'attachment; filename="desk-1.zip"'
    assert first.headers["cache-control"] == "no-store"
    assert "content-length" not in first.headers  # it is not known: the archive is written while it is sent


def test_what_is_unpacked_is_its_owners_alone(stage: Stage) -> None:
    stage.release("unix")
    stage.enrol("desk-1", "esp32-generic")

    modes = stage.archive("desk-1").modes

    assert modes["desk-1/install.sh"] == 0o700
    assert {mode for name, mode in modes.items() if name[-1] != "/" and name != "desk-1/install.sh"} == {0o600}


def test_without_a_release_the_agent_takes_the_first_one(stage: Stage) -> None:
    stage.enrol("desk-1", "esp32-generic")

    found = stage.archive("desk-1")

    board = {path.removeprefix("desk-1/board/") for path in found.names if "/board/" in path}
    own = {"main.py", "data/", *(f"kiln/{name}.json" for name in ("device", "settings", "trust"))}
    assert board == own | set(AGENT)
    readme = found.files["desk-1/README.txt"].decode()
    assert "no release yet: it takes its first one over the air" in readme
    assert "There is no flash image in this archive: it has no release yet." in readme
    assert b"cp -r data kiln lib :\n" in found.files["desk-1/install.sh"]
    assert stage.owner.get("/api/v1/devices/desk-1/flash").status == 404


def test_a_withdrawn_release_is_in_no_archive(stage: Stage) -> None:
    from service.adapters.schema import releases

    build = stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    with stage.site.kiln.engine.begin() as connection:
        connection.execute(releases.update().where(releases.c.build == build.id).values(withdrawn_at=1.0))

    assert not [name for name in stage.archive("desk-1").names if "/board/a/" in name]
