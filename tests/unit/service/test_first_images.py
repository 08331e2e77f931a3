"""Flash images of releases: a board that can be updated, made by the service, and nothing secret inside."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import pytest
from littlefs import LittleFS, UserContext

from runners.flash.littlefs_image import file_system
from runners.recipes.filesystem import AGENT_BYTES
from service.adapters.agents import compiled, compiled_loader
from service.domain import bundle
from service.domain.build import Build
from service.domain.first_install import NewBoard
from service.domain.release import Bundle, Release, ReleaseDigest
from tests.fakes import firmware
from tests.fakes.site import Site
from tests.unit.service.test_flash import ESP_FILE, FILES, PICO_FILE, built, put


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    made.follow("acme/open", public=True)
    for name, board in ((ESP_FILE, "esp32-generic"), (PICO_FILE, "rpi-pico-w")):
        content = firmware.firmware_for(board)
        put(tmp_path, firmware.listed(name, content, board=board), **{name: content})
    yield made
    made.close()


def release(site: Site, build: Build, board: str) -> str:
    """The build's files, signed for this board; the statement."""
    files = [bundle.file(*each) for each in FILES.items()]
    said = bundle.Statement(
        repo=build.repository,
        name="open",
        commit=build.commit,
        version="1.2.3",
        counter=build.number,
        board=board,
        mpy=6,
        arch=0,
        index=bundle.index(files),
    )
    statement = site.kiln.keys.sign("release", said.payload())
    signed = Bundle(
        digest=ReleaseDigest(bundle.release_digest(statement)),
        build=build.id,
        board=board,
        statement=statement,
        object_digest="0" * 64,
        size_bytes=1,
    )
    made = Release(
        build=build.id,
        repository=build.repository,
        name="open",
        version="1.2.3",
        counter=build.number,
        channel="beta",
        created_at=site.kiln.clock.now(),
    )
    site.kiln.builds.add_release(made, [signed], [])
    return statement


def inside(content: bytes) -> dict[str, bytes]:
    """The files of a littlefs."""
    held = LittleFS(
        context=UserContext(buffer=bytearray(content)), block_size=4096, block_count=len(content) // 4096, prog_size=32
    )
    return {
        f"{folder}/{name}".strip("/"): held.open(f"{folder}/{name}", "rb").read()
        for folder, _, names in held.walk("/")
        for name in names
    }


def test_an_image_of_a_release_holds_agent_keys_and_the_release_in_a_slot(site: Site) -> None:
    build = built(site, "open")
    statement = release(site, build, "esp32-generic")
    address = f"/builds/{build.id}/esp32-generic/flash/esp32-generic-8M.bin"

    reply = site.browser().get(address)

    held = inside(reply.body[0x200000:])
    agent = {f"lib/{each.path}": each.content for each in (compiled_loader(), *compiled())}
    release_digest = bundle.release_digest(statement)
    assert {path: held[path] for path in agent} == agent
    assert held["main.py"] == b"import ota_loader\n\nota_loader.run()\n"
    assert {path: held[f"a/{path}"] for path in FILES} == FILES
    assert held["kiln/a.jws"].decode() == statement
    assert held["kiln/a.index"] == bundle.index(bundle.file(*each) for each in FILES.items()).encoded
    assert json.loads(held["kiln/trust.json"]) == site.kiln.keys.root().entries()
    state = json.loads(held["kiln/state.json"])
    assert state["active"] == "a"
    assert state["a"] == {"release": release_digest, "version": "1.2.3", "counter": build.number}
    assert set(held) - set(agent) == {
        "main.py",
        *(f"a/{path}" for path in FILES),
        *(f"kiln/{name}" for name in ("trust.json", "a.jws", "a.index", "state.json", "floor.json")),
    }  # and nothing of any device
    assert site.browser().get(address).headers["etag"] == reply.headers["etag"]


def test_an_image_of_what_was_not_released_holds_its_files_alone(site: Site) -> None:
    reply = site.browser().get(f"/builds/{built(site, 'open').id}/esp32-generic/flash/esp32-generic-8M.bin")

    assert inside(reply.body[0x200000:]) == FILES


def test_a_board_without_updates_gets_its_files_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    build = built(site, "open")
    release(site, build, "rpi-pico-w")
    address = f"/builds/{build.id}/rpi-pico-w/flash/rpi-pico-w-2M.uf2"
    with_agent = site.browser().get(address).headers["etag"]
    boards = site.kiln.boards.catalogue.boards

    monkeypatch.setitem(boards, "rpi-pico-w", dataclasses.replace(boards["rpi-pico-w"], updates="none"))

    assert site.browser().get(address).headers["etag"] != with_agent


def test_what_the_agent_takes_of_a_file_system_is_what_builds_are_warned_by() -> None:
    """Many small files in blocks of 4096 bytes: four times what they hold."""
    agent = (compiled_loader(), *compiled())
    board = NewBoard(agent=agent, trust={}, statement="s" * bundle.MAX_STATEMENT_BYTES, version="1.0.0", counter=1)
    release = [bundle.file("main.py", b"1")]

    laid_out = file_system(board.lay_out(release), size_bytes=848 << 10, block_bytes=4096, program_bytes=32)

    held = LittleFS(context=UserContext(buffer=bytearray(laid_out)), block_size=4096, block_count=212, prog_size=32)
    taken = held.used_block_count * 4096
    assert AGENT_BYTES - (40 << 10) < taken <= AGENT_BYTES
