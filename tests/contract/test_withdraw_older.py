"""A release is withdrawn over the API when its channel has gone on: who runs a newer one keeps it."""

import json
import pathlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from service import rolling
from service.device_routes import Heard
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.release import ReleaseDigest
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE
from service.flows import rollouts, steer
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


def test_who_runs_a_newer_release_is_not_led_back(beta: Channel) -> None:
    _, old, new = updated(beta, "d1", "d2", pushes=3)

    done = beta.withdraw(old)

    assert (done["undone_by"], done["devices_led_on"], done["taken_from"]) == ([], 0, [])
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)
    beta.enrol("late")
    assert beta.ordered("late") == new


def test_who_still_runs_it_has_another_try_of_the_channels_newest(beta: Channel) -> None:
    _, old = updated(beta, "d1", "d2", pushes=2)
    new = beta.push("push 3")
    beta.confirm(new, "d1")
    beta.says("d2", "rolled_back", new, old)
    seq = {each: beta.site.kiln.fleet.device(DeviceId(each)).seq for each in ("d1", "d2")}

    done = beta.withdraw(old)

    assert (done["undone_by"], done["devices_led_on"]) == ([], 1)
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)
    now = {each: beta.site.kiln.fleet.device(DeviceId(each)).seq for each in ("d1", "d2")}
    assert now == {"d1": seq["d1"], "d2": seq["d2"] + 1}
    beta.confirm(new, "d2")
    assert beta.withdraw(old)["devices_led_on"] == 0


def test_who_waits_for_a_roll_out_that_goes_on_gets_that(beta: Channel) -> None:
    _, old = updated(beta, "d1", "d2", pushes=2)
    new = beta.push("push 3")
    beta.confirm(new, "d1")

    done = beta.withdraw(old)

    assert (done["undone_by"], done["devices_led_on"]) == ([], 0)
    beta.confirm(new, "d2")
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)


def test_of_the_newest_the_one_before_comes_back_under_a_new_counter(beta: Channel) -> None:
    good, bad = updated(beta, "d1", "d2", pushes=2)

    (undoing,) = beta.withdraw(bad)["undone_by"]

    beta.release(undoing)
    builds = beta.site.kiln.builds
    assert builds.build(undoing).commit == builds.build(good).commit
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, undoing, undoing)


def test_where_the_newer_one_was_given_up_those_that_run_it_stay_and_the_others_are_led_back(beta: Channel) -> None:
    """Nothing good is newer than the withdrawn one, so the one before it comes back: not over a newer one that runs."""
    good, bad = updated(beta, "d1", "d2", pushes=2)
    newer = beta.push("push 3")
    beta.confirm(newer, "d1")
    parts = rolling.parts(beta.site.kiln)
    (given_up,) = parts.rollouts.of_build(newer)
    steer.abort(given_up.id, parts, by="ann")
    rollouts.advance_all(parts)

    (undoing,) = beta.withdraw(bad)["undone_by"]

    beta.release(undoing)
    builds = beta.site.kiln.builds
    assert builds.build(undoing).commit == builds.build(good).commit
    assert (beta.ordered("d1"), beta.ordered("d2")) == (newer, undoing)


def test_a_newer_release_that_comes_before_a_roll_out_that_leads_back_is_given_up_is_not_overtaken(
    beta: Channel,
) -> None:
    """It was aborted, and before its end was seen to a newer one came: those that updated go there."""
    updated(beta, "d1", pushes=1)
    kiln = beta.site.kiln
    beta.plan = replace(AT_ONCE, updated="roll_back")
    bad = beta.push("push 2")
    beta.confirm(bad, "d1")
    parts = rolling.parts(kiln)
    (rollout,) = parts.rollouts.of_build(bad)

    kiln.rollouts.change(rollout, state=RolloutState.ABORTED, why="bad", finished_at=None)
    new = beta.push("push 3")
    rollouts.advance_all(rolling.parts(kiln))

    (ended,) = parts.rollouts.of_build(bad)
    assert (ended.undone_by, ended.is_over, beta.ordered("d1")) == (None, True, new)
    withdrawn = kiln.builds.release(bad)
    assert withdrawn is not None
    assert withdrawn.withdrawn_at is not None
