"""The Wi-Fi of a board that enrols itself."""

import dataclasses
import hmac
import json

import pytest

from service.adapters.device_cipher import encrypt
from service.domain import claim as domain
from service.domain.device import DeviceId
from service.domain.shared import Scope
from service.flows import claims, shared
from service.flows.configure import Wish
from tests.unit.service.claiming import SEED, asked, made, opened, parts
from tests.unit.service.configuring import told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import published


def with_wifi(code: str, said: object, seed: bytes = SEED) -> claims.Asked:
    """With what the board has in its own file."""
    body = encrypt(domain.derived(code, "own", seed), json.dumps(said).encode())
    mac = hmac.digest(domain.derived(code, "own mac", seed), body, "sha256")
    return dataclasses.replace(asked(code, seed), own=body + mac)


HOME = {"WIFI_SSID": "home", "WIFI_PASSWORD": "hunter2"}


def test_a_board_keeps_the_wifi_that_led_it_here(world: World) -> None:
    published(world, "one")
    _, code = made(world, id="roof", wish=Wish(values={"A": "x"}))

    answer = claims.redeem(with_wifi(code, {**HOME, "B": "y"}), parts(world))

    assert opened(answer, code)["settings"] == {**HOME, "A": "x"}
    assert told(world, "roof", domain.key_of(code, SEED))["settings"] == {**HOME, "A": "x"}
    assert opened(claims.redeem(asked(code), parts(world)), code)["settings"] == {**HOME, "A": "x"}


def test_the_wifi_of_code_or_fleet_stands_above_that_of_the_board(world: World) -> None:
    other = {"WIFI_SSID": "work", "WIFI_PASSWORD": "sesame"}
    _, code = made(world, id="roof", wish=Wish(values=dict(other)))
    assert opened(claims.redeem(with_wifi(code, HOME), parts(world)), code)["settings"] == other

    shared.change(Scope(BLINK.id), Wish(values=dict(other)), {}, world.shared, by="ann", now=world.clock.now())
    _, code = made(world, id="attic")
    claims.redeem(with_wifi(code, HOME), parts(world))
    secrets = world.configurations.get(DeviceId("attic")).secrets
    assert (secrets.settings, secrets.effective) == ({}, other)


NO_WIFI: list[object] = [[], {"WIFI_PASSWORD": "x"}, {"WIFI_SSID": 1}, {"WIFI_SSID": "x" * 65}, {"WIFI_SSID": "a\nb"}]


@pytest.mark.parametrize("said", NO_WIFI, ids=str)
def test_what_is_no_wifi_is_left_out(world: World, said: object) -> None:
    _, code = made(world)
    assert opened(claims.redeem(with_wifi(code, said), parts(world)), code)["settings"] == {}


def test_what_another_says_of_the_wifi_is_left_out(world: World) -> None:
    for change in (lambda own: own[:-1] + bytes([own[-1] ^ 1]), lambda own: own[:40], lambda own: b"x"):
        _, code = made(world)
        good = with_wifi(code, HOME)
        bent = dataclasses.replace(good, own=change(good.own))
        assert opened(claims.redeem(bent, parts(world)), code)["settings"] == {}
