"""A site with three repositories, and people before it."""

import pathlib
from collections.abc import Iterator

import pytest

from service.domain.rights import Role
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Browser, Site


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    for name in ("secret", "other"):
        made.follow(f"acme/{name}")
    made.follow("acme/open", public=True)
    yield made
    made.close()


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.program(ADMIN_TOKEN)


@pytest.fixture
def owner(site: Site) -> Browser:
    return site.browser().sign_in_as(site.user(1, "ann", secret=Role.OWNER))


@pytest.fixture
def viewer(site: Site) -> Browser:
    return site.browser().sign_in_as(site.user(2, "bob", secret=Role.VIEWER))


@pytest.fixture
def devices(site: Site) -> DeviceSite:
    return DeviceSite.over(site)


@pytest.fixture
def one(devices: DeviceSite, site: Site, owner: Browser) -> Device:
    """A device of `secret`."""
    return devices.enrol(owner, "one", site.of("secret"))
