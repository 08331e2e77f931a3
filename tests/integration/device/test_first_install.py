"""A flash image's file system, on a virtual board: it starts at once, and updates once it has an identity."""

import hashlib
import json
from typing import Any

import pytest

from device.virtual import flash as flashing
from runners.contract.board import Catalogue
from runners.flash import image
from service.adapters.agents import compiled, compiled_loader
from service.domain import bundle
from service.domain.first_install import Identity, NewBoard, Taken
from tests.fakes import firmware
from tests.fakes.configurations import FakeConfiguration, make_configuration
from tests.fakes.releases import FakeRelease
from tests.fakes.signing import root_document, root_key, root_payload, trust
from tests.integration.device.apps import app, files_of
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import until
from tests.unit.runners.flash import uf2_reader

pytestmark = [pytest.mark.enable_socket]

TALK = "print('settings', ota.settings)\nwhile True:\n    ota.sleep_ms(20)\n"


def new_board(release: FakeRelease, *, epochs: tuple[int, int] = (1, 1), identity: Identity | None = None) -> NewBoard:
    return NewBoard(
        agent=(compiled_loader(), *compiled()),
        trust=root_payload(epochs=epochs),
        statement=release.statement.decode(),
        version=f"{release.counter}.0.0",
        counter=release.counter,
        identity=identity,
    )


def file_system(board: str, files: dict[str, bytes]) -> tuple[bytes, int]:
    """What the board's MicroPython finds in its flash image, and the bytes of a program operation."""
    found = Catalogue.load().board(board)
    assert found.flash is not None
    made = image.make(found, files, firmware.firmware_for(board)).content
    place = found.flash.sizes[found.flash.usual]
    at, size = place.file_system_at, place.file_system_bytes
    if found.flash.format == "uf2":
        pages = uf2_reader.read(made)[found.flash.uf2_family]
        return uf2_reader.memory(pages, found.flash.mapped_at + at, size), found.flash.program_bytes
    return made[at : at + size], found.flash.program_bytes


def flash(bench: Bench, release: FakeRelease, files: dict[str, bytes], board: str, **options: Any) -> None:
    """As `esptool write-flash` or a copy onto the USB drive leaves the board of this bench."""
    laid_out = new_board(release, **options).lay_out(bundle.file(*each) for each in files.items())
    content, program = file_system(board, laid_out)
    footer = f"kiln-flash {program} 4096\n".encode().ljust(flashing.FOOTER_BYTES)
    bench.board.flash.write_bytes(content + footer)
    bench.board.device["board"] = board


def flash_configured(bench: Bench, release: FakeRelease, board: str) -> FakeConfiguration:
    """The same with an identity, and the configuration in force that its first order names."""
    made = make_configuration({"PERIOD_S": 7}, key=None)
    bench.board.device.pop("key", None)
    taken = Taken(digest=made.digest, plain=made.raw.removeprefix(b"KILNC0\n"))
    own = Identity(device={**bench.board.device, "board": board}, settings={"PERIOD_S": 5}, configuration=taken)
    flash(bench, release, files_of("3.0.0", TALK), board, identity=own)
    return made


def enrol(bench: Bench, *, settings: dict[str, Any] | None = None) -> None:
    """As `mpremote cp device.json settings.json :/kiln/`."""
    bench.board.put_device()
    bench.board.put({"kiln/settings.json": json.dumps(settings or {})})


@pytest.mark.parametrize("board", ["esp32-generic", "esp8266-generic", "rpi-pico-w"])
def test_a_flashed_board_starts_its_release_and_updates_once_it_is_enrolled(bench: Bench, board: str) -> None:
    first = app("3.0.0", TALK, board=board)
    flash(bench, first, files_of("3.0.0", TALK), board)

    bench.board.switch_on()
    bench.board.printed("app 3.0.0")
    bench.board.printed("settings {}")
    bench.board.printed("no updates without /kiln/device.json, which `kiln devices add` writes")
    assert not bench.broker.reports
    bench.board.switch_off()

    enrol(bench, settings={"PERIOD_S": 5})
    bench.board.switch_on()
    bench.board.printed("settings {'PERIOD_S': 5}")
    bench.broker.reported("idle", running=first.digest, version="3.0.0", counter=3, slot="a")
    bench.desire(first, seq=1)  # what enrolment orders: it runs already
    bench.broker.reported("confirmed", release=first.digest, seq=1)
    assert not bench.store.requests

    second = bench.desire(app("4.0.0", board=board), seq=2)
    bench.broker.reported("confirmed", release=second.digest, seq=2)
    bench.board.printed("app 4.0.0")
    assert bench.board.state()["counter"] == 4


def test_an_image_of_one_device_needs_nothing_more(bench: Bench) -> None:
    """As `kiln devices flash` makes it: identity and settings are inside."""
    first, board = app("3.0.0", TALK, board="esp32-generic"), "esp32-generic"
    device = Identity(device={**bench.board.device, "board": board}, settings={"PERIOD_S": 5})
    flash(bench, first, files_of("3.0.0", TALK), board, identity=device)

    bench.board.switch_on()

    bench.board.printed("settings {'PERIOD_S': 5}")
    bench.broker.reported("idle", running=first.digest, version="3.0.0", counter=3, slot="a")
    second = bench.desire(app("4.0.0", board=board), seq=1)
    assert bench.broker.reported("confirmed", release=second.digest, seq=1)["running"] == second.digest


def test_a_configuration_that_is_there_already_is_in_force_and_is_not_fetched(bench: Bench) -> None:
    """As an archive lays it out: the first order names what the board has, release and settings."""
    first, board = app("3.0.0", TALK, board="esp32-generic"), "esp32-generic"
    made = flash_configured(bench, first, board)

    bench.board.switch_on()

    bench.board.printed("settings {'PERIOD_S': 7}")
    bench.broker.reported("idle", running=first.digest, config=made.digest)
    bench.desire(first, seq=1, config=made.digest)
    bench.broker.reported("confirmed", release=first.digest, seq=1, config=made.digest)
    assert not bench.store.requests
    other = make_configuration({"PERIOD_S": 9}, key=None)
    bench.store.configurations[other.digest] = other.raw
    bench.desire(first, seq=2, config=other.digest)
    bench.broker.reported("confirmed", config=other.digest, seq=2)
    bench.board.printed("settings {'PERIOD_S': 9}")


@pytest.mark.parametrize(("lost", "begins"), [("kiln/config.a", "idle"), ("kiln/state.json", "trial")])
def test_a_board_that_loses_what_it_was_made_with_finds_it_again(bench: Bench, lost: str, begins: str) -> None:
    first, board = app("3.0.0", TALK, board="esp32-generic"), "esp32-generic"
    made = flash_configured(bench, first, board)
    bench.board.spoil(lost)
    bench.store.configurations[made.digest] = made.raw

    bench.board.switch_on()
    bench.broker.reported(begins, running=first.digest)
    bench.desire(first, seq=1, config=made.digest)

    assert bench.broker.reported("confirmed", config=made.digest, seq=1)["running"] == first.digest
    bench.board.printed("settings {'PERIOD_S': 7}")


def test_a_board_without_an_identity_has_its_settings(bench: Bench) -> None:
    flash(bench, app("3.0.0", TALK, board="esp32-generic"), files_of("3.0.0", TALK), "esp32-generic")
    bench.board.put({"kiln/settings.json": '{"PERIOD_S": 7}'})

    bench.board.switch_on()

    bench.board.printed("settings {'PERIOD_S': 7}")
    assert bench.board.printed("no agent: 2") == 1


def test_an_older_release_is_refused_from_the_first_order_on(bench: Bench) -> None:
    flash(bench, app("3.0.0", board="esp32-generic"), files_of("3.0.0"), "esp32-generic")
    enrol(bench)
    bench.board.switch_on()
    bench.board.printed("app 3.0.0")

    bench.desire(app("2.0.0", board="esp32-generic"), seq=1)

    assert bench.broker.reported("refused", "downgrade")["counter"] == 3


@pytest.mark.parametrize("lost", ["kiln/state.json", "kiln/floor.json"])
def test_a_flashed_board_that_loses_its_state_finds_its_release_again(bench: Bench, lost: str) -> None:
    first = app("3.0.0", board="esp32-generic")
    flash(bench, first, files_of("3.0.0"), "esp32-generic")
    enrol(bench)
    bench.board.spoil(lost)

    bench.board.switch_on()

    bench.broker.reported("idle", running=first.digest, counter=3)
    assert bench.board.state()["counter"] == 3


def test_a_board_is_made_with_the_floors_of_the_keys_that_it_trusts(bench: Bench) -> None:
    """An image that was made after keys were stolen knows the epochs, and follows the next root document."""
    first = app("3.0.0", board="esp32-generic")
    flash(bench, first, files_of("3.0.0"), "esp32-generic", epochs=(2, 3))
    bench.store.roots[2] = root_document(root_payload(version=2, epochs=(2, 3)), [root_key()])
    enrol(bench)
    bench.board.switch_on()

    bench.broker.reported("idle", running=first.digest)
    second = bench.desire(app("4.0.0", board="esp32-generic"), seq=1)
    bench.broker.reported("confirmed", release=second.digest)

    assert bench.board.state()["epochs"] == [2, 3]
    assert json.loads(flashing.cat(bench.board.flash, "kiln/trust.json"))["version"] == 2
    until(lambda: bench.board.state()["outbox"] is None, what="the outcome to be acknowledged")


def test_equal_boards_have_equal_bytes_and_one_name() -> None:
    release = app("3.0.0")
    files = [bundle.file(*each) for each in files_of("3.0.0").items()]
    one, again = new_board(release), new_board(release)
    other = new_board(release, epochs=(2, 1))

    assert one.lay_out(files) == again.lay_out(reversed(files))
    assert one.digest == again.digest != other.digest
    made = [hashlib.sha256(file_system("rpi-pico-w", each.lay_out(files))[0]).hexdigest() for each in (one, again)]
    assert made[0] == made[1]
    assert json.loads(one.lay_out(files)["kiln/trust.json"]) == trust()
