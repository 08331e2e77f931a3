"""Settings of a fleet, a group and a device over the API: who may, what is shown, and where each value is from."""

import pathlib

import pytest

from service import configuring
from service.adapters.schema_devices import devices as device_rows, groups
from service.domain.build import Build
from service.domain.device import DeviceId
from service.domain.shared import Scope
from tests.fakes.devices import DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Browser, Site
from tests.fakes.sources import FolderSources

SETTINGS = "/api/v1/settings"
REPOSITORY = "github/acme/secret"
CANARY = "correct horse battery staple"
MANIFEST = """[firmware]
boards = ["unix"]
[settings.PERIOD_S]
type = "integer"
default = 60
minimum = 5
help = "seconds from one look to the next"
[settings.API_KEY]
type = "secret"
[settings.NOTE]
optional = true
"""


@pytest.fixture
def devices(site: Site) -> DeviceSite:
    """With a device `one` in the group `roof` and a release that declares the above."""
    made = DeviceSite.over(site)
    made.enrol(site.program(ADMIN_TOKEN), "one", site.of("secret"))
    with site.kiln.engine.begin() as connection:
        connection.execute(groups.insert().values(repository=REPOSITORY, name="roof", created_at=0))
        connection.execute(device_rows.update().values(group="roof"))
    made.release(declaring(site, "declares", MANIFEST))
    return made


def declaring(site: Site, delivery: str, manifest: str) -> Build:
    return holding(site, delivery, {"kiln.toml": manifest.encode(), "main.py": b"print(1)\n"})


def holding(site: Site, delivery: str, files: dict[str, bytes]) -> Build:
    """A build of this source."""
    build = site.build(site.of("secret"), delivery)
    sources = FolderSources(files)
    kept = site.kiln.objects.put(sources.fetch(site.of("secret"), build.commit))
    site.kiln.builds.keep_source(build.id, digest=kept.digest, size_bytes=kept.size_bytes)
    return site.kiln.builds.build(build.id)


def remade(site: Site) -> None:
    work = configuring.remaker(site.kiln, lambda: None)
    while work.step():
        pass


def test_each_value_says_where_it_is_from(devices: DeviceSite, site: Site, owner: Browser) -> None:
    where = {"repository": REPOSITORY}
    replies = [
        owner.send("PATCH", SETTINGS, json={**where, "texts": {"PERIOD_S": "30", "API_KEY": CANARY}}),
        owner.send("PATCH", SETTINGS, json={**where, "group": "roof", "texts": {"PERIOD_S": "20", "NOTE": "hot"}}),
        owner.send("PATCH", SETTINGS, json={"device": "one", "values": {"PERIOD_S": 10}}),
    ]
    remade(site)
    shown = [owner.get(f"{SETTINGS}?{query}") for query in (f"repository={REPOSITORY}", "device=one")]

    assert [reply.status for reply in replies] == [202, 202, 202]
    found = {each["name"]: each for each in shown[1].fields["items"]}
    assert {name: each["from"] for name, each in found.items()} == {
        "API_KEY": "fleet",
        "NOTE": "group",
        "PERIOD_S": "device",
    }
    assert (found["PERIOD_S"]["value"], found["PERIOD_S"]["default"], found["PERIOD_S"]["type"]) == (10, 60, "integer")
    assert found["API_KEY"] == {
        "name": "API_KEY", "type": "secret", "is_set": False, "from": "fleet", "needed": True, "help": ""
    }  # fmt: skip
    of_fleet = {each["name"]: each for each in shown[0].fields["items"]}
    assert (of_fleet["PERIOD_S"]["value"], of_fleet["NOTE"]["from"], of_fleet["API_KEY"]["is_set"]) == (30, None, True)
    assert shown[0].fields["left"] == 0
    assert not any(CANARY.encode() in reply.body for reply in [*replies, *shown])
    deeds = [each.deed for each in site.kiln.audit.entries()]
    assert [(each.what, each.subject, each.detail) for each in deeds if each.subject in ("fleet", "group roof")] == [
        ("settings.changed", "group roof", "NOTE, PERIOD_S"),
        ("settings.changed", "fleet", "API_KEY, PERIOD_S"),
    ]


def test_a_device_is_held_and_freed_over_the_api(devices: DeviceSite, site: Site, owner: Browser) -> None:
    held = owner.get(f"{SETTINGS}?device=one").fields["hold"]

    owner.send("PATCH", SETTINGS, json={"repository": REPOSITORY, "texts": {"API_KEY": CANARY}})
    left = owner.get(f"{SETTINGS}?repository={REPOSITORY}").fields["left"]
    remade(site)

    assert "it has no value for API_KEY" in held
    assert left == 1
    assert owner.get(f"{SETTINGS}?device=one").fields["hold"] == ""
    assert site.kiln.fleet.device(DeviceId("one")).desired is not None


def test_put_says_all_and_unset_takes_back(devices: DeviceSite, site: Site, owner: Browser) -> None:
    where = {"repository": REPOSITORY}
    owner.send("PATCH", SETTINGS, json={**where, "texts": {"PERIOD_S": "30", "NOTE": "x"}})

    put = owner.send("PUT", SETTINGS, json={**where, "values": {"NOTE": "y"}})
    gone = owner.send("PATCH", SETTINGS, json={**where, "unset": ["NOTE"]})
    again = owner.send("PATCH", SETTINGS, json={**where, "unset": ["NOTE"]})

    assert (put.status, gone.status, again.status) == (202, 202, 400)
    assert site.kiln.sealed.shared.get(Scope(site.of("secret").id)) == {}


REFUSED: list[tuple[dict[str, object], int]] = [
    ({}, 400),
    ({"repository": REPOSITORY, "texts": {"PERIOD_S": "4"}}, 400),
    ({"repository": REPOSITORY, "texts": {"PERIODS": "4"}}, 400),
    ({"repository": REPOSITORY, "values": {"PERIOD_S": "30"}}, 400),
    ({"repository": REPOSITORY, "group": "cellar", "texts": {"NOTE": "x"}}, 404),
    ({"repository": REPOSITORY, "unset": [1]}, 400),
    ({"repository": "github/acme/other", "texts": {"A": "x"}}, 404),
    ({"repository": "github/acme/open", "texts": {"A": "x"}}, 403),
    ({"device": "two", "texts": {"A": "x"}}, 404),
    ({"device": "one", "repository": "github/acme/other", "texts": {"NOTE": "x"}}, 400),
    ({"device": "one", "group": "cellar", "texts": {"NOTE": "x"}}, 400),
    ({"device": "One!"}, 400),
    ({"repository": REPOSITORY, "texts": {"NOTE": "x" * 3000}}, 400),
    ({"repository": 1}, 400),
]


def test_what_is_no_change_is_refused(devices: DeviceSite, site: Site, owner: Browser) -> None:
    replies = [(body, owner.send("PATCH", SETTINGS, json=body).status) for body, _ in REFUSED]

    assert replies == REFUSED
    assert site.kiln.sealed.shared.get(Scope(site.of("secret").id)) == {}


def test_only_owners_see_and_change_them(devices: DeviceSite, site: Site, viewer: Browser) -> None:
    body = {"repository": REPOSITORY, "texts": {"NOTE": "x"}}
    stranger = site.browser()

    for query in (f"repository={REPOSITORY}", f"repository={REPOSITORY}&group=roof", "device=one"):
        assert viewer.get(f"{SETTINGS}?{query}").status == 403
        assert stranger.get(f"{SETTINGS}?{query}").status in (401, 404)
    assert viewer.send("PATCH", SETTINGS, json=body).status == 403
    assert stranger.send("PATCH", SETTINGS, json=body).status in (401, 403, 404)


def test_what_is_a_secret_in_one_channel_is_shown_in_none(devices: DeviceSite, site: Site, owner: Browser) -> None:
    owner.send("PATCH", SETTINGS, json={"repository": REPOSITORY, "texts": {"API_KEY": CANARY}})
    with site.kiln.engine.begin() as connection:
        connection.exec_driver_sql("update channels set channel = 'old'")
    devices.release(declaring(site, "later", MANIFEST.replace('"secret"', '"string"')))

    shown = owner.get(f"{SETTINGS}?repository={REPOSITORY}")

    assert CANARY.encode() not in shown.body
    assert {each["name"]: each["type"] for each in shown.fields["items"]}["API_KEY"] == "secret"


def test_a_device_that_cannot_be_given_its_settings_uses_up_no_name(
    devices: DeviceSite, site: Site, owner: Browser
) -> None:
    owner.send("PATCH", SETTINGS, json={"repository": REPOSITORY, "texts": {"NOTE": "x"}})
    new = {"id": "two", "repository": REPOSITORY, "board": "unix"}
    with site.kiln.engine.begin() as connection:
        sealed = connection.exec_driver_sql("select sealed from shared_settings").scalar_one()
        connection.exec_driver_sql("update shared_settings set sealed = 's2.00000000.AAAA'")

    refused = owner.send("POST", "/api/v1/devices", json=new)
    listed = owner.get(f"{SETTINGS}?repository={REPOSITORY}")
    with site.kiln.engine.begin() as connection:
        connection.exec_driver_sql("update shared_settings set sealed = ?", (sealed,))
    taken = owner.send("POST", "/api/v1/devices", json=new)

    assert (refused.status, listed.status, taken.status) == (409, 409, 201)
    assert "its sealing key 00000000 is not here" in refused.fields["error"]
    assert site.kiln.sealed.configurations.get(DeviceId("two")).secrets.effective == {"NOTE": "x"}


def test_a_pepeunit_example_is_the_schema_of_its_unit(devices: DeviceSite, site: Site, owner: Browser) -> None:
    sample = pathlib.Path(__file__).parents[3] / "samples" / "pepeunit"
    files = {path.name: path.read_bytes() for path in sample.iterdir() if path.is_file() and path.name != "upload.sh"}
    devices.release(holding(site, "unit", files))
    where = {"repository": REPOSITORY}

    typed = owner.send("PATCH", SETTINGS, json={**where, "texts": {"PERIOD_S": "45", "PU_AUTH_TOKEN": CANARY}})
    wrong = owner.send("PATCH", SETTINGS, json={**where, "texts": {"PERIOD_S": "often"}})
    found = {each["name"]: each for each in typed.fields["items"]}

    assert (typed.status, wrong.status) == (202, 400)
    assert (found["PERIOD_S"]["type"], found["PERIOD_S"]["value"], found["PERIOD_S"]["default"]) == ("integer", 45, 60)
    assert found["PU_AUTH_TOKEN"]["type"] == "secret"
    assert not any(each["needed"] for each in found.values())
    assert CANARY.encode() not in typed.body
    assert site.kiln.sealed.shared.get(Scope(site.of("secret").id)) == {"PERIOD_S": 45, "PU_AUTH_TOKEN": CANARY}
    assert owner.get(f"{SETTINGS}?device=one").fields["hold"] == ""
