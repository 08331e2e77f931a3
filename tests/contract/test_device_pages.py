"""The pages of one device: the form that makes it, by the schema of its repository, and what it is."""

import html.parser
import json
import pathlib
import re
from collections.abc import Iterator

import pytest

from service.domain.device import DeviceId
from tests.contract.archive_stage import PASSWORD, Stage
from tests.fakes.site import Browser


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path)
    yield made
    made.site.close()


class Page(html.parser.HTMLParser):
    """What a screen reader goes by: labels and whom they are for, fields, alerts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self.fields: dict[str, dict[str, str]] = {}
        self.options: dict[str, list[str]] = {}
        self.ids: set[str] = set()
        self.links: list[str] = []
        self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "label":
            self.labels.add(given["for"])
        if tag == "a":
            self.links.append(given["href"])
        if tag in ("input", "select"):
            self.fields[given["name"]] = given
            self._select = given["name"]
        if tag == "option":
            self.options.setdefault(self._select, []).append(given.get("value", ""))


def form(browser: Browser, repository: str = "github/acme/secret") -> Page:
    reply = browser.get(f"/new-device?repository={repository}")
    assert reply.status == 200
    return Page(reply.body.decode())


def fill(browser: Browser, **fields: str) -> tuple[int, str, str]:
    """Status, where to, and the page."""
    given = {"repository": "github/acme/secret", "id": "desk-1", "board": "esp32-generic", "channel": "beta", **fields}
    reply = browser.post("/new-device", **given)
    return reply.status, reply.headers.get("location", ""), reply.body.decode()


def test_the_form_is_made_of_the_schema(stage: Stage) -> None:
    stage.release("esp32-generic", "rpi-pico-w")

    page = form(stage.owner)

    wanted = {"repository", "id", "board", "channel", "set.WIFI_SSID", "set.WIFI_PASSWORD", "set.PERIOD_S"}
    assert set(page.fields) == wanted
    assert page.options["board"] == ["esp32-generic", "rpi-pico-w", "unix", "esp32-s3-generic"]  # not the pyboard
    assert page.fields["set.WIFI_PASSWORD"]["type"] == "password"
    assert "value" not in page.fields["set.WIFI_PASSWORD"]
    assert (page.fields["set.PERIOD_S"]["type"], page.fields["set.PERIOD_S"]["placeholder"]) == ("number", "60")
    assert "required" in page.fields["set.WIFI_SSID"]
    assert "required" not in page.fields["set.PERIOD_S"]


def test_every_field_has_a_label_and_a_help_that_is_there(stage: Stage) -> None:
    stage.release("esp32-generic")

    page = form(stage.owner)

    shown = {each["id"]: each for each in page.fields.values() if each.get("type") != "hidden"}
    assert page.labels == set(shown)
    assert {each["aria-describedby"] for each in shown.values() if "aria-describedby" in each} <= page.ids


def test_types_choices_and_defaults_are_shown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    more = (
        '[settings.LED]\ntype = "boolean"\ndefault = true\nhelp = "whether it <b>blinks</b>"\n'
        '[settings.MODE]\ntype = "choice"\nchoices = ["day", "night"]\noptional = true\n'
        '[settings.LEVEL]\ntype = "number"\nminimum = 0.5\nmaximum = 2\ndefault = 1.5\n'
    )
    monkeypatch.setattr("tests.contract.archive_stage.SCHEMA", more)
    stage.release("esp32-generic")

    page = form(stage.owner)
    text = stage.owner.get("/new-device").body.decode()

    assert page.options["set.LED"][0] == ""
    assert "default: true" in text
    assert "whether it &lt;b&gt;blinks&lt;/b&gt;" in text
    assert "required" not in page.fields["set.MODE"]
    level = page.fields["set.LEVEL"]
    assert (level["min"], level["max"], level["step"], level["placeholder"]) == ("0.5", "2", "any", "1.5")
    assert {"set.WIFI_SSID", "set.WIFI_PASSWORD"} <= set(page.fields)  # what the agent itself reads


def test_a_form_makes_a_device_with_its_settings(stage: Stage) -> None:
    stage.release("esp32-generic")

    made = fill(stage.owner, **{"set.WIFI_SSID": "workshop", "set.WIFI_PASSWORD": PASSWORD, "set.PERIOD_S": "5"})

    assert made[:2] == (303, "/devices/desk-1")
    kept = stage.site.kiln.sealed.configurations.get(DeviceId("desk-1")).secrets
    assert kept.settings == {"WIFI_SSID": "workshop", "WIFI_PASSWORD": PASSWORD, "PERIOD_S": 5}
    archive = stage.archive("desk-1")
    assert archive.json("desk-1/board/kiln/settings.json")["PERIOD_S"] == 5
    assert [name for name in archive.names if "/board/a/" in name]
    shown = stage.owner.get("/devices/desk-1").body.decode()
    assert PASSWORD not in shown
    assert "PERIOD_S, WIFI_PASSWORD, WIFI_SSID" in shown


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"set.PERIOD_S": "often"}, "PERIOD_S must be a whole number"),
        ({"id": "Desk 1"}, "not a device id"),
        ({"board": "esp33"}, "unknown board"),
        ({"set.NOTHING": "1"}, "NOTHING is not a setting of this firmware"),
    ],
)
def test_what_is_wrong_is_said_on_the_form_and_makes_no_device(stage: Stage, fields: dict[str, str], said: str) -> None:
    stage.release("esp32-generic")

    status, _, text = fill(stage.owner, **{"set.WIFI_SSID": "workshop", "set.WIFI_PASSWORD": PASSWORD, **fields})

    assert status == 400
    assert re.search(rf'role="alert">[^<]*{re.escape(said)}', text)
    assert Page(text).fields["set.WIFI_SSID"]["value"] == "workshop"
    assert PASSWORD not in text
    assert not stage.site.kiln.fleet.devices()


def test_a_name_is_used_once(stage: Stage) -> None:
    stage.release("esp32-generic")

    first, second = fill(stage.owner), fill(stage.owner)

    assert (first[0], second[0]) == (303, 400)
    assert "a device &#39;desk-1&#39; exists already" in second[2]


def test_before_anything_was_built_all_boards_are_offered(stage: Stage) -> None:
    page = form(stage.owner)

    assert "unix" in page.options["board"]
    assert "pybv11" not in page.options["board"]
    assert set(page.fields) == {"repository", "id", "board", "channel", "set.WIFI_SSID", "set.WIFI_PASSWORD"}
    assert fill(stage.owner)[0] == 303


def test_who_manages_several_repositories_chooses_one(stage: Stage) -> None:
    stage.site.follow("acme/other")
    admin = stage.site.browser().sign_in_as_admin()

    page = Page(admin.get("/new-device").body.decode())

    assert set(page.fields) == {"repository"}
    assert page.labels == {"repository"}
    assert set(form(admin, "github/acme/other").fields) > {"id", "board"}


def test_the_forms_are_for_who_manages_devices(stage: Stage) -> None:
    stage.release("esp32-generic")
    fill(stage.owner)
    foreign = stage.site.browser().sign_in_as_admin()
    foreign.origin = "https://evil.example"

    assert stage.site.browser().get("/new-device").headers["location"] == "/login?next=/new-device"
    assert stage.site.browser().get("/devices/desk-1").headers["location"] == "/login?next=/devices"
    assert stage.viewer.get("/new-device?repository=github/acme/secret").status == 403
    assert fill(stage.viewer, id="other")[0] == 403
    assert stage.viewer.get("/devices/desk-1").status == 403
    assert fill(foreign, id="other")[0] == 403
    assert [each.id for each in stage.site.kiln.fleet.devices()] == ["desk-1"]


def test_a_form_has_limits(stage: Stage) -> None:
    many = {f"set.X{number}": "1" for number in range(200)}

    assert stage.owner.post("/new-device", repository="github/acme/secret", **many).status == 400
    assert fill(stage.owner, **{"set.X": "x" * (64 << 10)})[0] == 413


def test_the_page_of_a_device_has_its_archive(stage: Stage) -> None:
    stage.release("esp32-generic", "unix")
    fill(stage.owner)
    stage.enrol("here", "unix")

    page = stage.owner.get("/devices/desk-1")
    links = Page(page.body.decode()).links
    here = stage.owner.get("/devices/here").body.decode()

    one = "/api/v1/devices/desk-1"
    assert {f"{one}/archive", f"{one}/flash", f"{one}/webflash"} <= set(links)
    assert "not seen yet" in page.body.decode()
    assert all(stage.owner.get(f"{one}/{what}").status == 200 for what in ("archive", "flash", "webflash"))
    assert "No flash image: a board unix is not flashed" in here
    assert "/api/v1/devices/here/flash" not in here
    assert "/devices/desk-1" in Page(stage.owner.get("/devices").body.decode()).links


def test_a_page_says_what_a_device_reported_and_what_it_is_held_for(stage: Stage) -> None:
    from service.adapters.schema_devices import devices

    stage.release("esp32-generic")
    fill(stage.owner)
    kiln = stage.site.kiln
    with kiln.engine.begin() as connection:
        connection.execute(devices.update().values(hold="it has no value for <WIFI_SSID>"))
    from service.domain.device import Report

    report = {"v": 1, "state": "rolled_back", "reason": "import_error", "detail": "main.py:1 <script>"}
    said = json.dumps({**report, "version": "1.2.0"}).encode()
    kiln.fleet.report([(DeviceId("desk-1"), Report.parse(said))], now=kiln.clock.now())

    text = stage.owner.get("/devices/desk-1").body.decode()

    assert "main.py:1 &lt;script&gt;" in text
    assert "Held: it has no value for &lt;WIFI_SSID&gt;" in text
    assert "rolled_back" in text
    assert "1.2.0" in text


def test_a_retired_device_has_a_page_without_an_archive(stage: Stage) -> None:
    stage.release("esp32-generic")
    fill(stage.owner)
    stage.owner.send("DELETE", "/api/v1/devices/desk-1")

    text = stage.owner.get("/devices/desk-1").body.decode()

    assert "retired" in text
    assert "/archive" not in text


def test_a_page_says_where_a_device_belongs_and_what_it_is_pinned_to(stage: Stage) -> None:
    build = stage.release("unix")
    stage.announce(build)
    stage.enrol("desk-1", "unix")
    made = stage.owner.send("POST", "/api/v1/groups", json={"repository": "github/acme/secret", "name": "roof"})
    moved = stage.owner.send("PATCH", "/api/v1/devices/desk-1", json={"group": "roof"})
    pinned = stage.owner.send("PUT", "/api/v1/devices/desk-1/pin", json={"release": build.id})

    text = stage.owner.get("/devices/desk-1").body.decode()

    assert (made.status, moved.status, pinned.status) == (201, 200, 200)
    assert "<dt>Group</dt><dd>roof</dd>" in text
    assert f"/builds/{build.id}" in Page(text).links


def test_a_list_without_a_device_says_so(stage: Stage) -> None:
    assert "None yet." in stage.owner.get("/devices").body.decode()
    assert "None that you look for." in stage.owner.get("/devices?channel=x").body.decode()
