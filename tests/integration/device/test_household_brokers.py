"""A board over TLS, from its first order to its end; one that moves there; and one whose broker lost all accounts."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from service.adapters.broker_dynsec import DynsecAccounts
from service.domain.device import DeviceId, DeviceState
from tests.integration.device.authorities import Authority
from tests.integration.device.household import HASTE, household
from tests.integration.device.parts import until
from tests.servers import begin_dynsec

pytestmark = [pytest.mark.enable_socket]

APPLICATION = """import ota
while True:
    ota.sleep_ms(20)
"""


def test_a_board_lives_its_life_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    with household(tmp_path, "mosquitto-dynsec", authority=authority) as home:
        made = home.settle(tls={"ca": "/kiln/ca.pem"}, files={"kiln/ca.pem": authority.pem.read_bytes()})
        assert made.file["mqtt"] == {"host": "localhost", "port": home.site.kiln.settings.mqtt_tls_port, "tls": True}
        digest = home.release(APPLICATION)
        home.said(running=digest, state=DeviceState.CONFIRMED)

        home.order("DELETE", "")

        assert home.board.printed("broker says no: 5") >= 1


def test_a_board_of_an_archive_comes_over_tls_and_verifies_the_broker(tmp_path: Path) -> None:
    """Nobody wrote a file by hand: what it verifies the broker by is in its archive."""
    authority = Authority(tmp_path, "ours")
    with household(tmp_path, "embedded", authority=authority) as home:
        made = home.devices.enrol(home.admin, "d1", home.repository)
        reply = home.admin.get("/api/v1/devices/d1/archive")
        assert reply.status == 200
        with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
            files = {path: archive.read(f"d1/board/kiln/{path}") for path in ("device.json", "ca.pem")}
        home.board.device = {**json.loads(files["device.json"]), **HASTE}
        kept = {"kiln/ca.pem": files["ca.pem"]}
        flashing.make(home.board.flash, device=home.board.device, trust=made.trust, files=kept, size_bytes=1 << 20)
        home.board.switch_on()

        digest = home.release(APPLICATION)

        home.said(running=digest, state=DeviceState.CONFIRMED)
        assert home.device().connected
        assert not [line for line in home.board.lines if "is not verified" in line]


def test_a_board_moves_to_tls_by_an_order(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    with household(tmp_path, "embedded", authority=authority) as home:
        plain = {"host": "localhost", "port": home.broker.port}
        files = {"kiln/ca.pem": authority.pem.read_bytes()}
        home.settle(tls={"ca": "/kiln/ca.pem"}, files=files, mqtt=plain, trial_s=16, poll_s=2)
        first = home.release(APPLICATION)
        home.said(running=first, state=DeviceState.CONFIRMED)

        home.order("POST", "/address")

        home.said(config=home.device().config, state=DeviceState.CONFIRMED)
        told = home.site.kiln.sealed.configurations.get(DeviceId("d1")).secrets.device["mqtt"]
        assert told == {"host": "localhost", "port": home.site.kiln.settings.mqtt_tls_port, "tls": True}


def test_a_board_whose_broker_lost_all_accounts_is_let_in_again(tmp_path: Path) -> None:
    with household(tmp_path, "mosquitto-dynsec") as home:
        home.settle(poll_s=2)
        first = home.release(APPLICATION)
        home.said(running=first, state=DeviceState.CONFIRMED)

        home.broker.server.stop()
        (home.broker.folder / "dynamic-security.json").unlink()
        begin_dynsec(home.broker.folder)
        home.broker.server.start()

        accounts = home.site.kiln.broker.accounts
        assert isinstance(accounts, DynsecAccounts)
        until(lambda: accounts.names() == {"d1"})
        second = home.release(APPLICATION + "# newer\n")
        home.said(running=second, state=DeviceState.CONFIRMED)
        assert "the broker had lost it" in home.site.kiln.fleet.events(DeviceId("d1"))[0].detail
