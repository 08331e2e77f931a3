"""One-time codes, and what becomes of a board that has one."""

import dataclasses
from typing import Any

import pytest

from runners.contract.setting import SettingSpec
from service.domain import claim as domain
from service.domain.configuration import Schema
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, BrokerError, ConflictError, NotFoundError
from service.domain.repository import RepositoryId
from service.flows import claims, credentials, place
from service.flows.configure import Wish
from service.flows.enrol import token_digest
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.claiming import OTHER, SEED, WHERE, asked, made, opened, parts
from tests.unit.service.configuring import newest_order, parts as configuring, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import enrolled, published
from tests.unit.service.test_placing import parts as placing


def test_a_board_with_a_code_becomes_what_the_code_says(world: World) -> None:
    build = published(world, "one")
    place.add_group(BLINK.id, "attic", placing(world), by="ann")
    wish = Wish(texts={"WIFI_PASSWORD": "hunter2"})
    claim, code = made(world, id="roof", group="attic", label="Roof", wish=wish)
    accounts = MemoryAccounts()

    answer = claims.redeem(asked(code), parts(world, accounts))

    said, device = opened(answer, code), world.fleet.device(DeviceId("roof"))
    token, key = domain.token_of(code, SEED), domain.key_of(code, SEED)
    assert said == {
        "v": 1,
        "id": "roof",
        "board": "unix",
        "repo": BLINK.id,
        **WHERE,
        "settings": {"WIFI_PASSWORD": "hunter2"},
    }
    assert (device.group, device.label, device.channel) == ("attic", "Roof", "beta")
    assert (device.token_digest, accounts.tokens) == (token_digest(token), {"roof": token})
    assert device.desired in {each.digest for each in world.builds.bundles(build)}
    assert told(world, "roof", key)["settings"] == {"WIFI_PASSWORD": "hunter2"}
    assert newest_order(world, "roof")["config"] == device.config
    assert world.claims.get(claim.name).state(world.clock.now()) == "used"
    assert [each.deed.what for each in world.audit.entries()][:2] == ["claim.used", "claim.made"]
    for secret in (token, key.hex(), domain.plain(code), "hunter2"):
        assert secret.encode() not in answer
    assert device.id in world.fleet.events(device.id)[0].detail or claim.name in world.fleet.events(device.id)[0].detail


def test_the_same_board_gets_the_same_identity_again_and_no_other_board_does(world: World) -> None:
    claim, code = made(world)

    first, again = (opened(claims.redeem(asked(code), parts(world)), code) for _ in range(2))

    assert first == again
    assert first["id"].startswith("blink-")
    with pytest.raises(ConflictError, match="another board"):
        claims.redeem(asked(code, OTHER), parts(world))
    assert [each.id for each in world.fleet.devices()] == [first["id"]]
    assert world.claims.get(claim.name).device == first["id"]
    assert [each.what for each in world.fleet.events(DeviceId(first["id"]))] == ["enrolled"]


def test_a_code_that_is_not_good_is_refused_in_the_same_words(world: World) -> None:
    claim, code = made(world, hours=2)
    good = asked(code)
    _, another = made(world)
    wrong = [
        dataclasses.replace(good, name="0" * 24),
        dataclasses.replace(good, proof=b"x" * 32),
        dataclasses.replace(good, seed=OTHER),  # the proof of another seed
        dataclasses.replace(good, name=asked(another).name),
    ]
    said = []
    for each in wrong:
        with pytest.raises(NotFoundError) as caught:
            claims.redeem(each, parts(world))
        said.append(str(caught.value))
    world.clock.move(hours=2)
    with pytest.raises(NotFoundError) as caught:
        claims.redeem(good, parts(world))

    assert {*said, str(caught.value)} == {claims.NO_CODE}
    assert world.fleet.devices() == []
    assert world.claims.get(claim.name).state(world.clock.now()) == "expired"


def test_what_is_kept_of_a_code_is_forgotten_when_it_has_expired(world: World) -> None:
    claim, _ = made(world, hours=1)
    assert world.claims.kept(claim.name) is not None
    world.clock.move(hours=1)

    made(world)

    assert world.claims.kept(claim.name) is None


def test_a_code_that_was_revoked_is_gone_and_its_device_stays(world: World) -> None:
    (unused, first), (used, second) = made(world), made(world)
    device = opened(claims.redeem(asked(second), parts(world)), second)["id"]

    for each in (unused, used):
        claims.revoke(world.claims.get(each.name), parts(world), by="ann")

    for code in (first, second):
        with pytest.raises(NotFoundError, match="no such code"):
            claims.redeem(asked(code), parts(world))
    assert [each.id for each in world.fleet.devices()] == [device]
    assert [each.deed.detail for each in world.audit.entries()][:2] == ["used", "open"]


def test_an_enrolment_that_was_cut_off_goes_on_where_it_was(world: World) -> None:
    """At each place where another system may fail or the service end."""
    _, code = made(world, id="roof")
    accounts = MemoryAccounts()
    accounts.is_away = True
    with pytest.raises(BrokerError):
        claims.redeem(asked(code), parts(world, accounts))
    assert world.configurations.get(DeviceId("roof")).secrets.key  # that board asks again
    with pytest.raises(ConflictError, match="another board"):
        claims.redeem(asked(code, OTHER), parts(world))

    accounts.is_away = False
    halfway = parts(world, accounts)
    cut = dataclasses.replace(halfway.enrolling, settle=_fail)
    with pytest.raises(RuntimeError):
        claims.redeem(asked(code), dataclasses.replace(halfway, enrolling=cut))
    accounts.tokens.clear()  # nor did it come to that

    assert opened(claims.redeem(asked(code), halfway), code)["id"] == "roof"
    assert accounts.tokens == {"roof": domain.token_of(code, SEED)}
    assert world.configurations.get(DeviceId("roof")).secrets.key == domain.key_of(code, SEED)


def _fail(_name: DeviceId) -> None:
    raise RuntimeError("the power is out")


def test_a_device_that_was_changed_since_is_not_given_out_again(world: World) -> None:
    _, code = made(world, id="roof")
    claims.redeem(asked(code), parts(world))
    accounts = MemoryAccounts()
    credentials.rotate(
        DeviceId("roof"), configuring(world), accounts=accounts, new_token=lambda _device: "n" * 43, by="ann"
    )
    accounts.tokens.clear()
    claims.redeem(asked(code), parts(world, accounts))  # it lives with the old token, until it took the new one
    assert accounts.tokens == {}  # and the broker's account is left as the change has it

    world.fleet.settle_token(DeviceId("roof"), token_digest("n" * 43))
    with pytest.raises(ConflictError, match="another device"):
        claims.redeem(asked(code), parts(world))
    world.fleet.retire(DeviceId("roof"), now=world.clock.now())
    with pytest.raises(ConflictError, match="another device"):
        claims.redeem(asked(code), parts(world))


def test_an_id_is_used_once_by_codes_too(world: World) -> None:
    enrolled(world, "d1")
    with pytest.raises(ConflictError, match="exists already"):
        made(world, id="d1")
    world.fleet.retire(DeviceId("d1"), now=world.clock.now())
    with pytest.raises(ConflictError, match="'d1' was retired"):
        made(world, id="d1")
    _, code = made(world, id="roof")
    enrolled(world, "roof")

    with pytest.raises(ConflictError, match="another device"):
        claims.redeem(asked(code), parts(world))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": 0},
        {"hours": domain.MAX_HOURS + 1},
        {"board": "toaster"},
        {"board": "rpi-pico"},
        {"group": "none"},
        {"channel": ""},
        {"label": "x" * 81},
        {"id": "D 1"},
        {"repository": RepositoryId("local/none")},
        {"wish": Wish(values={"A B": 1})},
    ],
    ids=str,
)
def test_a_code_for_what_cannot_be_is_not_made(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises((BadInputError, NotFoundError)):
        made(world, **wrong)
    assert world.claims.page(None, limit=9) == []
    assert world.audit.entries() == []


def test_a_code_is_good_after_the_firmware_has_changed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The board is in a box on its way: what newer firmware says of its settings is said of the device."""
    old: Schema = {"LED_PIN": SettingSpec(name="LED_PIN", type="integer")}
    new: Schema = {"PERIOD_S": SettingSpec(name="PERIOD_S", type="integer")}
    _, code = made(world, id="roof", schema=old, wish=Wish(texts={"LED_PIN": "3"}))
    published(world, "one")

    said = opened(claims.redeem(asked(code), parts(world, schema=new)), code)

    device = world.fleet.device(DeviceId("roof"))
    assert said["settings"] == {"LED_PIN": 3}
    assert (device.desired, "no value for PERIOD_S" in device.hold) == (None, True)
    assert caplog.records == []


def test_a_group_stays_while_a_code_is_for_it(world: World) -> None:
    place.add_group(BLINK.id, "attic", placing(world), by="ann")
    claim, _ = made(world, group="attic", hours=1)
    with pytest.raises(ConflictError, match=f"claim revoke {claim.name}"):
        place.remove_group(BLINK.id, "attic", placing(world), by="ann")
    world.clock.move(hours=1)

    place.remove_group(BLINK.id, "attic", placing(world), by="ann")

    assert world.inventory.groups(None) == []


def test_a_code_whose_group_has_gone_is_good_all_the_same(world: World) -> None:
    """An older Kiln let it go."""
    place.add_group(BLINK.id, "attic", placing(world), by="ann")
    _, code = made(world, group="attic")
    with world.fleet._engine.begin() as connection:
        connection.exec_driver_sql("delete from groups")

    name = DeviceId(opened(claims.redeem(asked(code), parts(world)), code)["id"])

    assert world.fleet.device(name).group == ""


def test_a_code_is_not_used_up_by_what_cannot_be_and_the_log_says_why(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    claim, code = made(world, id="roof")
    enrolled(world, "roof")
    with pytest.raises(ConflictError):
        claims.redeem(asked(code), parts(world))
    with pytest.raises(NotFoundError):
        claims.redeem(dataclasses.replace(asked(code), proof=b"x" * 32), parts(world))
    without = dataclasses.replace(parts(world), may=lambda _name, _of: False)
    with pytest.raises(NotFoundError):
        claims.redeem(asked(code), without)

    assert world.claims.get(claim.name).state(world.clock.now()) == "open"
    assert [(each.message, vars(each)["claim"]) for each in caplog.records] == [("code refused", claim.name)] * 3
    assert [vars(each)["error"] for each in caplog.records] == [
        "roof is another device by now: make another code",
        "who asks does not have it",
        "ann may not enrol devices of local/acme/blink any more",
    ]
    assert domain.plain(code) not in caplog.text


def test_a_repository_has_so_many_open_codes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "MAX_OPEN", 2)
    (_, code), _ = made(world, hours=1), made(world, hours=2)
    with pytest.raises(ConflictError, match="open codes"):
        made(world)
    claims.redeem(asked(code), parts(world))  # a used one is not open
    made(world)
    with pytest.raises(ConflictError, match="open codes"):
        made(world)
    world.clock.move(hours=2)  # nor is one that has expired

    assert made(world)[1] != code
    assert len(world.claims.page([BLINK.id], limit=9)) == 4
    assert world.claims.page([], limit=9) == []


def test_a_board_that_asks_again_while_its_device_is_retired_keeps_no_account(world: World) -> None:
    class Retiring(MemoryAccounts):
        def allow(self, device: str, token: str) -> None:
            credentials.retire(DeviceId(device), configuring(world), accounts=self, by="ann")
            super().allow(device, token)

    _, code = made(world)
    accounts = Retiring()
    claims.redeem(asked(code), parts(world, MemoryAccounts()))

    with pytest.raises(ConflictError, match="retired"):
        claims.redeem(asked(code), parts(world, accounts))

    assert accounts.tokens == {}
