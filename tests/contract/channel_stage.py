"""A channel of one repository over the API: pushes, withdrawals, and what its devices say and are told."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service import rolling
from service.device_routes import Heard
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.release import ReleaseDigest
from service.domain.rollout_plan import AT_ONCE
from service.flows import rollouts
from service.flows.track import Watch
from tests.fakes.devices import DeviceSite
from tests.fakes.site import Browser, Site


class Channel:
    """`beta` of one repository, its devices, and whoever owns them."""

    def __init__(self, site: Site) -> None:
        self.devices, self.plan = DeviceSite.over(site), AT_ONCE
        self.site = self.devices.site
        self.repository = site.follow("acme/blink")
        self.admin: Browser = site.browser().sign_in_as_admin()
        self.heard = Heard(site.kiln, lambda: None, Watch(site.kiln.fleet, site.kiln.clock))

    def enrol(self, name: str) -> None:
        self.devices.enrol(self.admin, name, self.repository)

    def push(self, delivery: str) -> BuildId:
        return self.release(self.site.build(self.repository, delivery).id)

    def release(self, name: BuildId) -> BuildId:
        """As a build leaves it, and it is rolled out."""
        return self.devices.release(self.site.kiln.builds.build(name), plan=self.plan).build

    def says(self, device: str, state: str, about: BuildId, running: BuildId) -> None:
        kiln = self.site.kiln
        (of, runs) = (kiln.builds.bundles(each)[0].digest for each in (about, running))
        counter, seq = kiln.builds.build(running).number, kiln.fleet.device(DeviceId(device)).seq
        report = {"v": 1, "state": state, "release": of, "running": runs, "counter": counter, "seq": seq}
        self.heard.reports([(device, json.dumps(report).encode())])
        rollouts.advance_all(rolling.parts(kiln))

    def confirm(self, build: BuildId, *devices: str) -> None:
        for each in devices:
            self.says(each, "confirmed", build, build)

    def withdraw(self, build: BuildId) -> dict[str, Any]:
        body = {"why": "eats batteries", "roll_back": True}
        reply = self.admin.send("POST", f"/api/v1/releases/{build}/withdraw", json=body)
        assert reply.status == 200, reply.body
        rollouts.advance_all(rolling.parts(self.site.kiln))
        answer: dict[str, Any] = reply.fields
        return answer

    def newest(self) -> BuildId:
        """Build of the repository, released or not."""
        return self.site.kiln.builds.builds(self.repository.id, limit=1)[0].id

    def current(self) -> int:
        """The counter of the release that the channel points at."""
        listed = self.admin.get(f"/api/v1/releases?repository={self.repository.id}&channel=beta").fields["items"]
        (counter,) = [each["counter"] for each in listed if each["current_in"] == ["beta"]]
        return int(counter)

    def ordered(self, device: str) -> int:
        """The build of the release that it is to run."""
        desired = self.admin.get(f"/api/v1/devices/{device}").fields["desired"]
        return int(self.site.kiln.builds.bundle(ReleaseDigest(desired)).build)


@pytest.fixture
def beta(tmp_path: pathlib.Path) -> Iterator[Channel]:
    site = Site.make(tmp_path / "data")
    yield Channel(site)
    site.close()


def updated(beta: Channel, *devices: str, pushes: int) -> list[BuildId]:
    """Releases that all of them run, one after the other."""
    for each in devices:
        beta.enrol(each)
    builds = []
    for number in range(1, pushes + 1):
        builds.append(beta.push(f"push {number}"))
        beta.confirm(builds[-1], *devices)
    return builds
