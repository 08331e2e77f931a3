"""Settings and credentials over the air: with a release or alone, on trial, and back by themselves."""

import json
import shutil
from collections.abc import Iterator
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from device.virtual import flash as flashing
from tests.fakes.configurations import KEY, FakeConfiguration, make_configuration
from tests.fakes.releases import FakeRelease, make_release
from tests.integration.device.apps import LOOP, app, files_of
from tests.integration.device.conftest import Bench, Board
from tests.integration.device.parts import TOKEN, until
from tests.servers import free_port

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(90)]

SHOW = "print('period', ota.settings.get('PERIOD_S'))\n"
FIRST = app("5.0.0", SHOW + LOOP)
NEXT = app("6.0.0", SHOW + LOOP)
DEVICE = {"key": KEY, "trial_s": 1.5, "boots": 3, "connect_s": 0.5, "desired_s": 0.3}


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Broker, store and a board with a key that runs FIRST, enrolled with a period of 1."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    made.board.device.update(DEVICE)
    made.board.make(settings={"PERIOD_S": 1})
    made.board.switch_on()
    made.desire(FIRST, seq=1)
    made.broker.reported("confirmed", release=FIRST.digest)
    until(lambda: made.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    made.board.switch_off()
    yield made
    made.close()


@pytest.fixture
def off(bought: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A board of its own like that, switched off."""
    bought.reset()
    bought.broker.set_password("d1", TOKEN)
    bought.store.configurations.clear()
    bought.store.tokens = {TOKEN}
    board = Board(tmp_path, bought.broker, bought.store)
    shutil.copy(bought.board.flash, board.flash)
    bench = copy(bought)
    bench.board = board
    yield bench
    board.close()


@pytest.fixture
def on(off: Bench) -> Bench:
    """The same, running."""
    off.board.switch_on()
    off.board.printed("period 1")
    return off


def order(bench: Bench, made: FakeConfiguration, *, seq: int, release: FakeRelease = FIRST) -> FakeConfiguration:
    bench.store.configurations[made.digest] = made.raw
    bench.desire(release, seq=seq, config=made.digest)
    return made


def runs_as_before(bench: Bench) -> dict[str, Any]:
    kept = bench.board.state()
    assert (kept["active"], kept["config"], kept["trial"]) == ("a", "", None)
    assert kept["a"]["release"] == FIRST.digest
    return kept


def test_settings_change_alone(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)

    report = on.broker.reported("confirmed", release=FIRST.digest, config=made.digest)

    assert (report["slot"], report["seq"], report["boots"]) == ("a", 2, 0)
    assert on.board.printed("period 7") == 1
    assert on.board.state()["config"] == "a"


def test_settings_change_in_the_heap_of_a_small_board(off: Bench) -> None:
    off.board.heapsize = "84k"  # in 72k, which holds an update, it succeeds only as a rule
    off.board.switch_on()
    many = {f"SETTING_{number}": "x" * 70 for number in range(8)}
    made = order(off, make_configuration({"PERIOD_S": 7, **many}), seq=2)

    assert off.broker.reported("confirmed", config=made.digest)["reason"] == ""


def test_release_and_settings_change_in_one_step(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 8}), seq=2, release=NEXT)

    report = on.broker.reported("confirmed", release=NEXT.digest, config=made.digest)

    assert report["version"] == "6.0.0"
    started = [line for line in on.board.lines if line.startswith(("app ", "period "))]
    assert started[-2:] == ["app 6.0.0", "period 8"]
    assert ("app 5.0.0", "period 8") not in pairwise(started)


def test_a_second_change_uses_the_other_place(on: Bench) -> None:
    first = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=first.digest)

    second = order(on, make_configuration({"PERIOD_S": 9}), seq=3)

    on.broker.reported("confirmed", config=second.digest)
    kept = on.board.state()
    assert (kept["config"], kept["configs"]) == ("b", {"a": first.digest, "b": second.digest})


def test_what_was_refused_with_its_release_never_stands_in_for_a_configuration_that_is_lost(on: Bench) -> None:
    good = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=good.digest)
    foreign = make_release(files_of("6.0.0"), board="rpi-pico-w", counter=6)
    order(on, make_configuration({"PERIOD_S": 9}), seq=3, release=foreign)
    on.broker.reported("refused", "wrong_board")
    on.board.switch_off()
    on.broker.desire(b"")
    on.board.spoil("kiln/config.a")
    on.board.lines.clear()

    on.board.switch_on()

    on.board.printed("period 1")
    assert "period 9" not in on.board.lines


def test_an_order_without_a_configuration_returns_to_what_was_enrolled(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=made.digest)

    on.desire(FIRST, seq=3)

    on.broker.reported("confirmed", seq=3, config="")
    on.board.printed("period 1", times=2)
    assert on.board.state()["config"] == ""


def test_a_bad_release_takes_its_settings_back_with_it(on: Bench) -> None:
    bad = app("6.0.0", SHOW + "raise ValueError('bad')\n")
    made = order(on, make_configuration({"PERIOD_S": 8}), seq=2, release=bad)

    report = on.broker.reported("rolled_back", "import_error", release=bad.digest)

    assert report["config"] == ""
    assert report["last"].startswith("import_error: ValueError: bad (main.py:")
    on.board.printed("period 8")
    on.board.printed("period 1", times=2)
    assert runs_as_before(on)["configs"]["a"] == ""
    assert on.store.configurations[made.digest]


def test_a_wrong_broker_comes_back_by_itself(on: Bench) -> None:
    line = {"mqtt": {"host": "127.0.0.1", "port": free_port()}}
    made = order(on, make_configuration({"PERIOD_S": 8}, device=line), seq=2)

    report = on.broker.reported("rolled_back", "no_confirm", release=FIRST.digest)

    assert (report["config"], report["running"]) == ("", FIRST.digest)
    on.board.printed("period 8", times=2)
    assert not [r for r in on.broker.reports if r["config"] == made.digest]
    runs_as_before(on)


def test_a_wrong_token_comes_back_by_itself(on: Bench) -> None:
    made = order(on, make_configuration({}, device={"token": "never-valid"}), seq=2)

    on.broker.reported("rolled_back", "no_confirm", release=FIRST.digest)

    assert on.board.printed("broker says no")
    runs_as_before(on)
    order(on, make_configuration({"PERIOD_S": 9}), seq=3)
    assert on.broker.reported("confirmed", seq=3)["config"] != made.digest


def test_a_wrong_address_of_the_service_comes_back_by_itself(on: Bench) -> None:
    made = order(on, make_configuration({}, device={"base": f"http://127.0.0.1:{free_port()}"}), seq=2)

    report = on.broker.reported("rolled_back", "no_confirm", release=FIRST.digest)

    # The broker knew of the trial: its line worked, the one to the service did not.
    assert on.broker.reported("trial", config=made.digest)["running"] == FIRST.digest
    assert report["config"] == ""
    runs_as_before(on)


def test_another_address_of_the_service_is_kept_when_it_answers(on: Bench) -> None:
    made = order(on, make_configuration({}, device={"base": f"http://localhost:{on.store.port}"}), seq=2)

    on.broker.reported("confirmed", config=made.digest)

    assert [report["config"] for report in on.store.reports] == [made.digest]


def test_a_board_that_sleeps_proves_another_address_before_it_does(off: Bench, tmp_path: Path) -> None:
    """It is never awake for the eighth of `trial_s` after which others ask by HTTP."""
    device = json.loads(flashing.cat(off.board.flash, "kiln/device.json"))
    (tmp_path / "tune/kiln").mkdir(parents=True)
    (tmp_path / "tune/kiln/device.json").write_text(json.dumps({**device, "trial_s": 600, "connect_s": 5}))
    flashing.put(off.board.flash, tmp_path / "tune")
    off.board.switch_on()
    off.board.printed("period 1")
    sleepy = app("6.0.0", SHOW + "ota.deepsleep(100)\n")
    away = {"base": f"http://localhost:{off.store.port}"}

    made = order(off, make_configuration({}, device=away), seq=2, release=sleepy)

    off.broker.reported("confirmed", config=made.digest, release=sleepy.digest)
    assert off.board.printed("confirmed by an orderly sleep") == 1
    assert made.digest in [report["config"] for report in off.store.reports]


def test_other_settings_alone_ask_nothing_of_the_service(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 5}), seq=2)

    on.broker.reported("confirmed", config=made.digest)

    assert on.store.reports == []


def test_an_application_cannot_confirm_a_line_that_does_not_work(on: Bench) -> None:
    hasty = app("6.0.0", SHOW + "ota.healthy()\n" + LOOP)
    line = {"mqtt": {"host": "127.0.0.1", "port": free_port()}}
    order(on, make_configuration({}, device=line), seq=2, release=hasty)

    report = on.broker.reported("rolled_back", "no_confirm", release=hasty.digest)

    assert report["running"] == FIRST.digest


def test_an_application_that_is_well_confirms_once_the_broker_knows(on: Bench) -> None:
    hasty = app("6.0.0", SHOW + "ota.healthy()\n" + LOOP)
    made = order(on, make_configuration({"PERIOD_S": 4}), seq=2, release=hasty)

    report = on.broker.reported("confirmed", release=hasty.digest)

    assert report["config"] == made.digest


def test_a_token_is_replaced_over_the_air(off: Bench, tmp_path: Path) -> None:
    patient = {**off.board.device, **DEVICE, "trial_s": 20}
    put(off, tmp_path, "kiln/device.json", json.dumps(patient))
    off.board.switch_on()
    off.board.printed("period 1")
    off.store.tokens = {TOKEN, "second-token"}
    made = order(off, make_configuration({"PERIOD_S": 3}, device={"token": "second-token"}), seq=2)
    off.board.printed("trial of a configuration")
    off.broker.set_password("d1", "second-token")  # this broker knows one at a time

    assert off.broker.reported("confirmed", config=made.digest)["reason"] == ""
    assert [report["state"] for report in off.store.reports] == ["trial"]
    off.store.tokens = {"second-token"}
    off.desire(NEXT, seq=3, config=made.digest)
    assert off.broker.reported("confirmed", release=NEXT.digest)["config"] == made.digest


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_configuration({}, key="f" * 64), "bad_config"),
        (make_configuration({}, key=None), "bad_config"),
        (make_configuration({}, device={"base": "ftp://a"}), "bad_config"),
    ],
    ids=["another key", "plain text", "no address"],
)
def test_a_bad_configuration_is_refused(on: Bench, made: FakeConfiguration, reason: str) -> None:
    order(on, made, seq=2, release=NEXT)

    report = on.broker.reported("refused", reason)

    assert (report["running"], report["config"]) == (FIRST.digest, "")
    kept = runs_as_before(on)
    assert (kept["failed"], kept["b"]) == (2, None)
    order(on, make_configuration({"PERIOD_S": 9}), seq=3, release=NEXT)
    on.broker.reported("confirmed", release=NEXT.digest)


def test_other_bytes_than_those_ordered_are_refused(on: Bench) -> None:
    made = make_configuration({"PERIOD_S": 7})
    on.store.configurations[made.digest] = make_configuration({"PERIOD_S": 8}).raw

    on.desire(FIRST, seq=2, config=made.digest)

    assert on.broker.reported("refused", "digest_mismatch")["running"] == FIRST.digest
    runs_as_before(on)


def test_a_configuration_that_cannot_be_fetched_is_tried_again(on: Bench) -> None:
    made = make_configuration({"PERIOD_S": 7})
    on.desire(FIRST, seq=2, config=made.digest)
    on.broker.reported("refused", "download_failed")
    runs_as_before(on)

    on.store.configurations[made.digest] = made.raw
    on.board.switch_off()
    on.board.switch_on()

    assert on.broker.reported("confirmed", config=made.digest)["seq"] == 2


def test_a6_a_second_configuration_under_one_number_is_replayed(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=made.digest)

    order(on, make_configuration({"PERIOD_S": 8}), seq=2)

    assert on.broker.reported("refused", "replayed")["config"] == made.digest


def test_a_lost_configuration_is_fetched_again(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=made.digest)
    until(lambda: on.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    on.board.switch_off()
    on.board.spoil("kiln/config.a")
    on.broker.reports.clear()

    on.board.switch_on()

    assert on.broker.reported("confirmed", config=made.digest)["seq"] == 2
    on.board.printed("period 7", times=2)


def test_the_right_wifi_password_is_kept_and_a_wrong_one_comes_back(off: Bench, tmp_path: Path) -> None:
    put(off, tmp_path, "lib/network.py", FAKE_NETWORK)
    off.board.switch_on()
    good = order(off, make_configuration({"WIFI_SSID": "home", "WIFI_PASSWORD": "right"}), seq=2)
    off.broker.reported("confirmed", config=good.digest)

    order(off, make_configuration({"WIFI_SSID": "home", "WIFI_PASSWORD": "wrong"}), seq=3)

    report = off.broker.reported("rolled_back", "no_confirm", seq=3)
    assert report["config"] == good.digest
    assert off.board.printed("wifi home wrong") == 3


FAKE_NETWORK = """
# A Wi-Fi that lets the board's sockets through only with the right password.
import sys
STA_IF = 0
class _Down:
    def __getattr__(self, name):
        raise OSError(-202)
class WLAN:
    def __init__(self, kind): pass
    def active(self, on): pass
    def isconnected(self): return False
    def config(self, name): return ""
    def connect(self, ssid, password):
        print("wifi", ssid, password)
        if password != "right":
            sys.modules["socket"] = _Down()
            for name in ("ota.link", "ota.net"):
                if name in sys.modules:
                    sys.modules[name].socket = _Down()
"""


def put(bench: Bench, folder: Path, path: str, content: str) -> None:
    """A file on the flash of a board that is off."""
    file = folder / "tree" / path
    file.parent.mkdir(parents=True)
    file.write_text(content)
    flashing.put(bench.board.flash, folder / "tree")
