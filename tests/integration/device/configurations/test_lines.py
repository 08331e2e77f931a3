"""Addresses and credentials over the air: a line that does not work comes back by itself."""

import json

import pytest

from device.virtual import flash as flashing
from tests.fakes.configurations import make_configuration
from tests.integration.device.apps import LOOP, app
from tests.integration.device.configurations.conftest import DEVICE, FIRST, NEXT, SHOW, order, runs_as_before
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import TOKEN
from tests.servers import free_port

pytestmark = [pytest.mark.enable_socket]


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


def test_a_board_that_sleeps_proves_another_address_before_it_does(off: Bench) -> None:
    """It is never awake for the eighth of `trial_s` after which others ask by HTTP."""
    device = json.loads(flashing.cat(off.board.flash, "kiln/device.json"))
    off.board.put({"kiln/device.json": json.dumps({**device, "trial_s": 600, "connect_s": 5})})
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


def test_a_token_is_replaced_over_the_air(off: Bench) -> None:
    off.board.put_device(**{**DEVICE, "trial_s": 20})
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


def test_the_right_wifi_password_is_kept_and_a_wrong_one_comes_back(off: Bench) -> None:
    off.board.put({"lib/network.py": FAKE_NETWORK})
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
