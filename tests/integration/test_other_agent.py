"""An agent of another make against a real Kiln: what docs/ota.md says is enough to write one (tests/other_agent).

Every part is real: service, broker, runner and its containers, git, and the agent as a process of its own on a
folder. What attacks it stands on the line, or is the broker, or has stolen a key.
"""

import json
from collections.abc import Iterator

import pytest

from tests.integration.other_parts import REPOSITORY, Board, Change, Home, between, flipped, said_by, wait
from tests.servers import free_port

pytestmark = [pytest.mark.docker, pytest.mark.broker, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    found = Home(tmp_path_factory.mktemp("home"))
    try:
        found.start()
        yield found
    finally:
        found.kiln.stop()


@pytest.fixture(autouse=True)
def _no_board_stays(home: Home) -> Iterator[None]:
    yield
    for board in home.boards:
        board.power_off()


@pytest.fixture(scope="module")
def first(home: Home) -> str:
    return home.release("1")


def test_updates_by_push_and_takes_a_bad_release_back(home: Home, first: str) -> None:
    board = Board(home, "lamp-1", confirm_after_s=1).enrol(PERIOD_MS=10)  # time enough to raise in
    board.power_on()
    assert board.report("confirmed", first)["slot"] == "a"
    second = home.release("2")
    assert board.report("confirmed", second)["slot"] == "b"
    assert board.log().count("by pack/2") == 2
    assert "confirmed" in home.kiln.call("/api/v1/devices/lamp-1/log", {})["text"]
    bad = home.release("bad", main='import ota\n\nraise ValueError("wet")\n')
    told = board.report("rolled_back", bad, reason="import_error")
    assert told["running"] == second
    assert told["detail"] == "ValueError: wet (main.py:3)"
    third = home.release("3")
    assert board.report("confirmed", third)["running"] == third
    assert (board.flash / "a" / "files" / "main.py").read_text().count('VERSION = "3"') == 1
    board.end()


def test_settings_token_and_keys_change_over_the_air(home: Home, first: str) -> None:
    board = Board(home, "lamp-2").enrol()
    board.power_on()
    board.report("confirmed")
    home.change("PATCH", "/api/v1/devices/lamp-2/settings", {"values": {"PERIOD_MS": 30, "PLACE": "roof"}})
    wait(lambda: board.shown()["configuration"]["in_force"], "settings")
    wait(lambda: "'PLACE': 'roof'" in (board.flash / "mark.err").read_text(), "the application's settings")
    home.kiln.call("/api/v1/devices/lamp-2/token", {})
    wait(lambda: not board.shown()["configuration"]["token_changing"], "the token")
    home.kiln.call("/api/v1/keys/rotate", {"role": "director"})
    stolen = next(one["kid"] for one in home.kiln.call("/api/v1/keys")["keys"] if one["role"] == "release")
    home.kiln.call("/api/v1/keys/revoke", {"kid": stolen, "stolen": True})
    after = home.release("after the keys")
    assert board.report("confirmed", after)["root"] == home.kiln.call("/api/v1/keys")["version"] == 3
    floors = json.loads((board.flash / "state.json").read_bytes())["floors"]
    assert (floors["release_epoch"], floors["director_epoch"]) == (2, 1)
    assert board.shown()["connected"]
    board.end()


def test_believes_no_order_that_a_broker_bends_repeats_or_takes_from_another(home: Home, first: str) -> None:
    other = Board(home, "lamp-4").enrol()
    strange = other.order()
    other.end()
    board = Board(home, "lamp-3").enrol()
    board.power_on()
    board.report("confirmed")
    old = board.order()
    newer = home.release("before the attacks")
    board.report("confirmed", newer)
    order = board.order()
    said = said_by(order)
    home.say("lamp-3", flipped(order, order.index(b".") + 40))
    board.report("refused", reason="bad_signature")
    home.say("lamp-3", old)
    assert board.report("refused", reason="replayed")["detail"] == f"seq {said_by(old)['seq']} below {said['seq']}"
    home.say("lamp-3", strange)
    board.report("refused", reason="wrong_device")
    home.say("lamp-3", home.signed(said | {"seq": said["seq"] + 1, "expires": said["issued"] - 1}))
    board.report("refused", reason="expired")
    board.power_off()
    held_back = home.release("held back by the broker")
    wait(lambda: board.order() != order, "another order")
    home.say("lamp-3", order)
    board.power_on()
    told = board.report("confirmed", held_back)
    home.say("lamp-3", home.signed(said_by(old) | {"seq": told["seq"] + 1}))
    refused = board.report("refused", reason="downgrade")
    assert (refused["running"], refused["seq"], refused["release"]) == (held_back, told["seq"], "")
    board.end()


def breaks_off(board: Board, bundles: list[bytes]) -> Change:
    """Packs with a flipped bit, and a power cut in the middle of the second bundle; `bundles` were asked for."""

    def change(path: str, body: bytes) -> tuple[bytes, int]:
        if "/pack" in path:
            return flipped(body, len(body) - 1), len(body)
        if "/bundle" in path:
            if len(bundles) == 1:
                board.power_off()  # before the test hears of it, which puts the power on again
            bundles.append(body)
            return body, 9000
        return body, len(body)

    return change


def lies(older: bytes) -> Change:
    """Packs that are cut; for a bundle first a flipped bit, then one of an older release, and at last the truth."""
    bundles: list[str] = []

    def change(path: str, body: bytes) -> tuple[bytes, int]:
        if "/pack" in path:
            return body[:40], 40
        if "/bundle" in path:
            bundles.append(path)
            other = (older + bytes(len(body)))[: len(body)]
            body = [flipped(body, len(body) - 5), other, body][min(len(bundles), 3) - 1]
        return body, len(body)

    return change


def test_takes_no_bytes_that_were_not_signed_and_resumes_those_that_were(home: Home, first: str) -> None:
    with between(home) as (address, line):
        board = Board(home, "lamp-5", base=address).enrol()
        board.power_on()
        board.report("confirmed")
        bundles: list[bytes] = []

        line.change = breaks_off(board, bundles)
        pieces = home.release("in pieces")
        wait(lambda: len(bundles) > 1, "a bundle that breaks off")
        board.power_on()
        board.report("confirmed", pieces)
        ranges = [one.rpartition("=")[2] for one in line.asked if one.startswith("206") and "/bundle" in one]
        assert ranges[0] == "9000-"
        assert len(ranges) > 2

        line.change = lies(bundles[0])
        last = home.release("among lies")
        assert board.report("refused", last, reason="digest_mismatch")["running"] == pieces
        board.report("refused", last, reason="wrong_release")
        board.report("confirmed", last)
        board.end()


def test_polls_where_no_broker_is_by_another_base_and_redirects_and_takes_packs_of_version_1(
    home: Home, first: str
) -> None:
    nobody = {"host": "127.0.0.1", "port": free_port()}
    with between(home) as (address, line):
        line.moves = True
        ways = {"base": f"http://127.0.0.1:{free_port()}", "recovery": address}
        listed = [f"127.0.0.1:{home.kiln.port}"]
        board = Board(home, "lamp-6", mqtt=nobody, connect_s=0.2, poll_s=1, trial_s=4, redirects=listed, **ways).enrol()
        board.power_on("--packs=")
        board.report("confirmed")
        polled = home.release("polled")
        board.report("confirmed", polled)
        assert board.log().splitlines().count("by pack") == 2
        assert [one for one in line.asked if one.startswith(f"307 /ota/v1/releases/{polled}/pack?from=")]
        assert not board.shown()["connected"]
        board.end()


def test_becomes_a_device_by_a_code(home: Home, first: str) -> None:
    body = {"repository": REPOSITORY, "board": "unix", "values": {"PERIOD_MS": 15}, "id": "lamp-7"}
    made = home.kiln.call("/api/v1/claims", body)
    board = Board(home, "lamp-7")
    claim = {"code": made["code"].lower(), "base": home.kiln.url}
    board.put_claim(claim, {"WIFI_SSID": "workshop", "WIFI_PASSWORD": "a secret"}, home.kiln.call("/keys.json"))
    board.power_on()
    wait((board.flash / "kiln" / "device.json").exists, "an identity")
    board.power_off()
    board.hurry()
    board.power_on()
    board.report("confirmed")
    assert not (board.flash / "kiln" / "claim.json").exists()
    own = {one["name"] for one in home.kiln.call("/api/v1/devices/lamp-7/settings")["settings"] if one["is_set"]}
    assert own == {"PERIOD_MS", "WIFI_SSID", "WIFI_PASSWORD"}
    board.end()
