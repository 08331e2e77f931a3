"""What is done to groups, to the places of devices and to shared settings is done with its entry in the audit log, or
not at all.
"""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from service.domain.device import DeviceId
from service.domain.shared import Scope
from tests.fakes.site import Browser, Site

REPOSITORY = "github/acme/blink"
D1 = DeviceId("d1")


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "data")
    made.follow("acme/blink")
    yield made
    made.close()


@pytest.fixture
def admin(site: Site) -> Browser:
    browser = site.browser().sign_in_as_admin()
    group = {"repository": REPOSITORY, "name": "attic"}
    assert browser.send("POST", "/api/v1/groups", json=group).status == 201
    device = {"id": D1, "repository": REPOSITORY, "board": "unix", "channel": "beta"}
    assert browser.send("POST", "/api/v1/devices", json=device).status == 201
    assert browser.send("PATCH", f"/api/v1/devices/{D1}", json={"tag": ["loud"]}).status == 200
    return browser


def everything(site: Site) -> tuple[Any, ...]:
    """All that these deeds change, and what is said of them."""
    kiln = site.kiln
    device = kiln.fleet.device(D1)
    kept = [kiln.sealed.shared.get(Scope(site.of("blink").id, group)) for group in ("", "attic")]
    groups = [each.name for each in kiln.inventory.groups(None)]
    return device, kiln.inventory.tags(D1), groups, kept, kiln.fleet.events(D1), kiln.audit.entries()


def of_the_audit(site: Site, sql: str) -> None:
    with site.kiln.engine.begin() as connection:
        connection.execute(sa.text(sql))


Act = Callable[[Browser], int]
ACTS: dict[str, Act] = {
    "group.added": lambda b: b.send("POST", "/api/v1/groups", json={"repository": REPOSITORY, "name": "shed"}).status,
    "group.removed": lambda b: b.send("DELETE", f"/api/v1/groups/attic?repository={REPOSITORY}").status,
    "device.placed": lambda b: b.send("PATCH", f"/api/v1/devices/{D1}", json={"label": "Roof"}).status,
    "device.tagged": lambda b: b.send("PATCH", f"/api/v1/devices/{D1}", json={"tag": ["new"]}).status,
    "settings.changed": lambda b: (
        b.send(
            "PATCH", "/api/v1/settings", json={"repository": REPOSITORY, "group": "attic", "values": {"PERIOD_S": 1}}
        ).status
    ),
}


@pytest.mark.parametrize("what", ACTS)
def test_it_is_noted_with_what_it_is_about(site: Site, admin: Browser, what: str) -> None:
    """The log refuses one entry, as a full disk would: then nothing is done. Afterwards it is, and is noted once."""
    before = everything(site)
    of_the_audit(site, "create trigger full before insert on audit begin select raise(abort, 'disk full'); end")

    assert ACTS[what](admin) == 500

    assert everything(site) == before
    of_the_audit(site, "drop trigger full")
    assert ACTS[what](admin) in (200, 201, 202, 204)
    new = site.kiln.audit.entries()[: -len(before[-1])]
    assert [each.deed.what for each in new] == [what]
    assert everything(site) != before
