"""Tokens as EMQX checks them, by another hand, and what its REST API is told.

EMQX itself is not here: its API is played by a server that takes what EMQX's documentation says.
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.adapters.broker_emqx import EmqxAccounts, EmqxApi, EmqxTokens
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, BrokerError
from service.settings import Settings
from tests.contract.emqx_stage import Emqx
from tests.contract.gitlab_stage import NOW
from tests.fakes.clock import StoppedClock
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Site, application
from tests.servers import free_port, http_server

pytestmark = [pytest.mark.enable_socket]

SECRET = "a secret that EMQX and Kiln share in tests"


def taken(token: str, username: str, *, at: float) -> dict[str, Any]:
    """As EMQX is told to check it: HS256, not past `exp`, and `sub` is the user name."""
    head, payload, signature = token.split(".")
    assert json.loads(decoded(head))["alg"] == "HS256"
    expected = hmac.new(SECRET.encode(), f"{head}.{payload}".encode(), hashlib.sha256).digest()
    assert hmac.compare_digest(decoded(signature), expected)
    claims = json.loads(decoded(payload))
    assert claims["sub"] == username
    assert claims.get("exp", at + 1) > at
    return dict(claims)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# -- tokens


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW)


@pytest.fixture
def tokens(clock: StoppedClock) -> EmqxTokens:
    return EmqxTokens(SECRET, clock, days=90)


def test_a_token_is_of_its_device_and_ends(tokens: EmqxTokens) -> None:
    claims = taken(tokens.new("roof"), "roof", at=NOW.timestamp())

    assert claims["exp"] == int(NOW.timestamp()) + 90 * 86_400
    with pytest.raises(AssertionError):
        taken(tokens.new("roof"), "cellar", at=NOW.timestamp())
    with pytest.raises(AssertionError):
        taken(tokens.new("roof"), "roof", at=NOW.timestamp() + 91 * 86_400)


def test_no_two_tokens_are_the_same_and_the_longest_fits_a_device(tokens: EmqxTokens) -> None:
    found = {tokens.new("d" * 48) for _ in range(20)}

    assert len(found) == 20
    assert max(map(len, found)) <= 250


def test_the_service_comes_with_a_token_that_does_not_end(tokens: EmqxTokens) -> None:
    assert "exp" not in taken(tokens.of_the_service("kiln-service"), "kiln-service", at=NOW.timestamp() * 2)


def test_a_token_ages_in_the_last_third_of_its_life(tokens: EmqxTokens, clock: StoppedClock) -> None:
    token = tokens.new("roof")
    stranger = EmqxTokens("x" * 40, clock, days=1).new("roof")

    assert not tokens.is_aging(token)
    clock.move(days=59)
    assert not tokens.is_aging(token)
    clock.move(days=2)
    assert tokens.is_aging(token)
    for other in (stranger, "t" * 43, tokens.of_the_service("kiln-service")):  # EMQX takes none of them from a device
        assert tokens.is_aging(other)


# -- the REST API


@pytest.fixture
def emqx() -> Emqx:
    return Emqx()


@pytest.fixture
def api(emqx: Emqx) -> Iterator[EmqxApi]:
    port = free_port()
    with http_server(emqx.app(), port):
        yield EmqxApi(url=f"http://127.0.0.1:{port}/api/v5", key="key", secret="word")


def test_a_retired_device_is_banned_for_good_and_closed(emqx: Emqx, api: EmqxApi) -> None:
    emqx.clients.add("roof")
    accounts = EmqxAccounts(api)

    for _ in range(2):
        accounts.forbid("roof")
        accounts.forbid("never-connected")

    assert emqx.banned["roof"]["as"] == "username"
    assert emqx.banned["roof"]["until"] > "2900"
    assert set(emqx.kicked) == {"roof", "never-connected"}


def test_a_device_that_is_allowed_is_not_banned(emqx: Emqx, api: EmqxApi) -> None:
    accounts = EmqxAccounts(api)
    accounts.forbid("roof")

    accounts.allow("roof", "token")
    accounts.allow("roof", "token")

    assert emqx.banned == {}
    assert accounts.allow_also("roof", "another")
    assert accounts.knows("roof", "another")
    for bad in ("kiln-service", "a/b"):
        with pytest.raises(BadInputError):
            accounts.allow(bad, "token")


def test_an_api_that_fails_or_does_not_know_us_is_an_error(emqx: Emqx, api: EmqxApi) -> None:
    wrong = EmqxApi(url=api.url, key="key", secret="wrong")
    with pytest.raises(BrokerError, match="answered 401"):
        EmqxAccounts(wrong).forbid("roof")
    emqx.is_broken = True
    with pytest.raises(BrokerError, match="answered 500"):
        EmqxAccounts(api).allow("roof", "token")
    nowhere = EmqxApi(url=f"http://127.0.0.1:{free_port()}/api/v5", key="key", secret="word")
    with pytest.raises(BrokerError, match="does not answer"):
        EmqxAccounts(nowhere).forbid("roof")


def test_without_the_api_nothing_is_told(emqx: Emqx) -> None:
    accounts = EmqxAccounts(None)
    accounts.allow("roof", "token")
    accounts.forbid("roof")
    assert accounts.names() == set()
    assert emqx.kicked == []


# -- a Kiln with it


@pytest.fixture
def site(tmp_path: pathlib.Path, api: EmqxApi) -> Iterator[Site]:
    made = Site.make(
        tmp_path,
        broker="emqx",
        emqx_secret=SECRET,
        emqx_token_days=90,
        emqx_api=api.url,
        emqx_api_key="key",
        emqx_api_secret="word",
    )
    yield made
    made.close()


def test_a_device_lives_with_a_token_that_emqx_takes_until_it_is_retired(site: Site, emqx: Emqx) -> None:
    admin = site.program(ADMIN_TOKEN)
    device = enrolled(site)
    taken(device.file["token"], "roof", at=site.kiln.clock.now().timestamp())
    assert device.ask("desired").status == 204
    assert site.kiln.fleet.device(DeviceId("roof")).new_token_digest is None  # young enough

    assert admin.send("DELETE", "/api/v1/devices/roof").status == 200

    assert emqx.banned.keys() == {"roof"}
    assert device.ask("desired").status == 401


def enrolled(site: Site) -> Device:
    devices = DeviceSite(site, None, None)  # type: ignore[arg-type]  # neither is asked for here
    return devices.enrol(site.program(ADMIN_TOKEN), "roof", site.follow("blink"))


@pytest.mark.parametrize("asks", ["desired", f"time?nonce={'0' * 32}"])
def test_a_token_that_ages_is_changed_when_the_device_asks(site: Site, asks: str) -> None:
    device = enrolled(site)
    aging(site, device.file["token"])

    assert device.ask(asks).status in (200, 204)

    known = site.kiln.fleet.device(DeviceId("roof"))
    ordered = site.kiln.sealed.configurations.get(known.id).secrets.device["token"]
    assert known.new_token_digest == hashlib.sha256(ordered.encode()).hexdigest()
    taken(ordered, "roof", at=site.kiln.clock.now().timestamp())
    device.ask("desired")  # once is enough
    assert site.kiln.sealed.configurations.get(known.id).secrets.device["token"] == ordered
    assert "by its age" in [each.detail for each in site.kiln.fleet.events(known.id)]


def aging(site: Site, *tokens: str) -> None:
    """Those are old by now."""
    broker = dataclasses.replace(site.kiln.broker, is_aging=lambda token: token in tokens)
    site.kiln = dataclasses.replace(site.kiln, broker=broker)
    site.app = application(site.kiln)


def test_a_device_that_was_away_until_its_next_token_had_aged_is_given_another(site: Site) -> None:
    """EMQX takes neither by then, and what the device takes must be a token that it can live with."""
    device = enrolled(site)
    aging(site, device.file["token"])
    device.ask("desired")
    known = DeviceId("roof")
    first = site.kiln.sealed.configurations.get(known).secrets.device["token"]

    aging(site, device.file["token"], first)
    assert device.ask("desired").status in (200, 204)

    second = site.kiln.sealed.configurations.get(known).secrets.device["token"]
    assert second != first
    assert site.kiln.fleet.device(known).new_token_digest == hashlib.sha256(second.encode()).hexdigest()
    device.ask("desired")  # once is enough
    assert site.kiln.sealed.configurations.get(known).secrets.device["token"] == second


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "needs KILN_EMQX_SECRET, at least 32 characters"),
        ({"KILN_EMQX_SECRET": "short"}, "needs KILN_EMQX_SECRET"),
        ({"KILN_EMQX_SECRET": SECRET, "KILN_EMQX_TOKEN_DAYS": "0"}, "KILN_EMQX_TOKEN_DAYS is at least 1"),
        ({"KILN_EMQX_SECRET": SECRET, "KILN_EMQX_API": "emqx:18083"}, "KILN_EMQX_API is an http"),
        ({"KILN_EMQX_SECRET": SECRET, "KILN_EMQX_API": "http://e/api/v5"}, "needs KILN_EMQX_API_KEY"),
    ],
    ids=["no secret", "short", "no days", "no address", "no key"],
)
def test_what_emqx_needs_is_told_at_the_start(variables: dict[str, str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        Settings.from_environment({"KILN_BROKER": "emqx", **variables})
