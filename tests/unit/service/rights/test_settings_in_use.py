"""Values are held against the firmware that devices are to run, not against the newest of a channel alone."""

import json

import pytest

from service import rolling
from service.domain.build import BuildId
from service.domain.device import DeviceId, Report
from service.domain.rollout_plan import AT_ONCE, Plan, Stage
from service.flows import rollouts
from tests.fakes.asgi import Reply
from tests.fakes.devices import DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Browser, Site
from tests.unit.service.rights.test_settings import REPOSITORY, SETTINGS, declaring, remade

WAITS = Plan(stages=(Stage(),), start="approval")
HEAD = '[firmware]\nboards = ["unix"]\n'
LED = '[settings.LED_PIN]\ntype = "integer"\ndefault = 2\n'
NUMBER = HEAD + '[settings.PERIOD_S]\ntype = "integer"\ndefault = 60\n' + LED
TEXT = HEAD + '[settings.PERIOD_S]\ntype = "string"\ndefault = "soon"\n[settings.PLACE]\noptional = true\n'
NEEDS_TEXT = HEAD + '[settings.PERIOD_S]\ntype = "choice"\nchoices = ["soon", "late"]\n'
NO_NUMBER = "PERIOD_S must be a whole number"


@pytest.fixture
def devices(site: Site) -> DeviceSite:
    """Two devices that are ordered a release whose PERIOD_S is a number."""
    made = DeviceSite.over(site)
    for name in ("one", "two"):
        made.enrol(site.program(ADMIN_TOKEN), name, site.of("secret"))
    released(made, "number", NUMBER)
    rollouts.advance_all(rolling.parts(site.kiln))
    return made


def released(devices: DeviceSite, name: str, manifest: str, plan: Plan = AT_ONCE) -> BuildId:
    build = declaring(devices.site, name, manifest)
    devices.release(build, name.encode(), plan=plan)
    return build.id


def set_(owner: Browser, where: dict[str, str], **texts: str) -> Reply:
    return owner.send("PATCH", SETTINGS, json={**where, "texts": texts})


def said(reply: Reply) -> str:
    return reply.body.decode()


def confirmed(site: Site) -> None:
    """All devices run what they were ordered."""
    for device in site.kiln.fleet.devices():
        counter = site.kiln.builds.bundle(device.desired).build if device.desired else 0
        fields = {"state": "confirmed", "reason": "", "release": device.desired, "running": device.desired}
        report = Report.parse(json.dumps({"v": 1, **fields, "seq": device.seq, "counter": counter}).encode())
        known = site.kiln.fleet.report([(device.id, report)], now=site.kiln.clock.now())
        rolling.heard(site.kiln, [(known[device.id], report)])
    rollouts.advance_all(rolling.parts(site.kiln))


def values(site: Site, name: str = "one") -> dict[str, object]:
    return dict(site.kiln.sealed.configurations.get(DeviceId(name)).secrets.effective)


def test_a_release_that_waits_for_its_roll_out_says_nothing_of_what_devices_run(
    devices: DeviceSite, site: Site, owner: Browser
) -> None:
    confirmed(site)
    released(devices, "text", TEXT, WAITS)
    one, fleet = {"device": "one"}, {"repository": REPOSITORY}

    refused = [set_(owner, where, PERIOD_S="soon") for where in (one, fleet)]
    taken = [set_(owner, one, PERIOD_S="30", LED_PIN="4"), set_(owner, one, PLACE="roof")]

    assert [reply.status for reply in refused] == [400, 400]
    assert all(NO_NUMBER in said(reply) for reply in refused)
    assert "says version 0.0." in said(refused[1])
    assert [reply.status for reply in taken] == [202, 202]
    assert values(site) == {"PERIOD_S": 30, "LED_PIN": 4, "PLACE": "roof"}
    assert set_(owner, fleet, LED_PIN="5").status == 202


def test_who_enrols_meanwhile_is_given_what_the_release_takes_that_it_gets(
    devices: DeviceSite, site: Site, admin: Browser
) -> None:
    confirmed(site)
    released(devices, "text", TEXT, WAITS)
    wanted = {"id": "three", "repository": REPOSITORY, "board": "unix"}

    refused = admin.send("POST", "/api/v1/devices", json={**wanted, "texts": {"PERIOD_S": "soon"}})
    taken = admin.send("POST", "/api/v1/devices", json={**wanted, "texts": {"PERIOD_S": "30"}})

    assert (refused.status, NO_NUMBER in said(refused)) == (400, True)
    assert taken.status == 201
    assert values(site, "three") == {"PERIOD_S": 30}


def test_a_pinned_device_has_the_settings_of_its_own_release(devices: DeviceSite, site: Site, owner: Browser) -> None:
    (old,) = {site.kiln.builds.bundle(each.desired).build for each in site.kiln.fleet.devices() if each.desired}
    confirmed(site)
    pinned = owner.send("PUT", "/api/v1/devices/one/pin", json={"release": old})
    released(devices, "text", TEXT)

    mine = set_(owner, {"device": "one"}, LED_PIN="4")
    other = set_(owner, {"device": "two"}, LED_PIN="4")

    assert pinned.status == 200, said(pinned)
    assert mine.status == 202, said(mine)
    assert values(site) == {"LED_PIN": 4}
    assert (other.status, "LED_PIN is not a setting of this firmware" in said(other)) == (400, True)
    listed = {each["name"]: each["value"] for each in owner.get(f"{SETTINGS}?device=one").fields["items"]}
    assert listed["LED_PIN"] == 4
    assert NO_NUMBER in said(set_(owner, {"repository": REPOSITORY}, PERIOD_S="soon"))
    assert set_(owner, {"repository": REPOSITORY}, LED_PIN="5").status == 202


def test_a_device_that_its_value_keeps_from_a_release_is_given_the_value_that_it_waits_for(
    devices: DeviceSite, site: Site, owner: Browser
) -> None:
    fleet = {"repository": REPOSITORY}
    confirmed(site)
    assert set_(owner, fleet, PERIOD_S="30").status == 202
    remade(site)
    build = released(devices, "choice", NEEDS_TEXT)
    held = {each.id: each.hold for each in site.kiln.fleet.devices()}

    one = set_(owner, {"device": "one"}, PERIOD_S="late")
    of_one = site.kiln.fleet.device(DeviceId("one"))
    rest = set_(owner, fleet, PERIOD_S="soon")
    remade(site)

    assert all("is not sent: PERIOD_S must be one of" in each for each in held.values())
    assert (one.status, rest.status) == (202, 202), (said(one), said(rest))
    assert of_one.desired is not None
    assert site.kiln.builds.bundle(of_one.desired).build == build
    assert (values(site), values(site, "two")) == ({"PERIOD_S": "late"}, {"PERIOD_S": "soon"})
    found = [each.desired for each in site.kiln.fleet.devices() if each.desired]
    assert [site.kiln.builds.bundle(each).build for each in found] == [build, build]
    assert [each.hold for each in site.kiln.fleet.devices()] == ["", ""]


def test_a_device_is_given_what_the_release_needs_that_it_is_pinned_to(
    devices: DeviceSite, site: Site, owner: Browser
) -> None:
    """Also a setting that neither what it runs nor the newest of its channel has."""
    confirmed(site)
    needy = released(devices, "needy", HEAD + '[settings.KEY]\ntype = "secret"\n', WAITS)
    released(devices, "text", TEXT, WAITS)
    pinned = owner.send("PUT", "/api/v1/devices/one/pin", json={"release": needy})
    before = site.kiln.fleet.device(DeviceId("one"))

    taken = set_(owner, {"device": "one"}, KEY="hunter2")

    assert pinned.status == 200, said(pinned)
    assert "it has no value for KEY" in before.hold
    assert taken.status == 202, said(taken)
    after = site.kiln.fleet.device(DeviceId("one"))
    assert after.desired is not None
    assert site.kiln.builds.bundle(after.desired).build == needy
