"""The API of roll-outs: what it answers, and whom it lets do what."""

from typing import Any

import pytest

from service import rolling
from service.flows import rollouts
from tests.fakes.devices import DeviceSite
from tests.fakes.site import Browser, Site
from tests.unit.service.rights.test_releases import enrolled, released

LIST = "/api/v1/rollouts"
PLAN: dict[str, Any] = {"stages": [{"count": 1}, {"percent": 20}, {}], "per_minute": 60}
WHOSE = "/api/v1/plans?repository=github/acme/secret&channel=beta"


@pytest.fixture
def begun(site: Site) -> int:
    """A roll-out to three devices, of which one was told."""
    for name in ("one", "two", "three"):
        enrolled(site, name, "beta")
    rollout, told = rollouts.begin(released(site).id, rolling.parts(site.kiln))
    assert rollout is not None
    assert told == 1
    return int(rollout.id)


def test_a_rollout_is_shown_with_its_stages_and_devices(begun: int, owner: Browser) -> None:
    listed = owner.get(f"{LIST}?repository=github/acme/secret").fields
    shown = owner.get(f"{LIST}/{begun}").fields
    devices = owner.get(f"{LIST}/{begun}/devices?state=pending&limit=1").fields

    assert [each["id"] for each in listed["items"]] == [begun]
    assert (shown["state"], shown["stage"], shown["version"]) == ("running", 1, "1.0.1")
    assert shown["counts"] == {"pending": 2, "ordered": 1, "done": 0, "failed": 0, "held": 0, "left": 0}
    assert [(each["number"], each["name"], each["ordered"]) for each in shown["items"]] == [
        (1, "1 device", 1),
        (2, "all the rest", 0),
    ]
    assert [each["device"] for each in shown["unheard"]] == ["one"]
    assert (devices["items"][0]["state"], devices["next"]) == ("pending", "three")
    rest = owner.get(f"{LIST}/{begun}/devices?state=pending&after=three").fields
    assert [each["device"] for each in rest["items"]] == ["two"]


def test_it_is_paused_resumed_and_aborted_and_all_of_it_is_noted(begun: int, owner: Browser, site: Site) -> None:
    paused = owner.send("POST", f"{LIST}/{begun}/pause", json={})
    resumed = owner.send("POST", f"{LIST}/{begun}/resume", json={})
    aborted = owner.send("POST", f"{LIST}/{begun}/abort", json={"why": "it eats batteries"})
    again = owner.send("POST", f"{LIST}/{begun}/resume", json={})

    assert (paused.status, paused.fields["state"]) == (202, "paused")
    assert (resumed.status, resumed.fields["state"]) == (202, "running")
    assert (aborted.fields["state"], aborted.fields["why"]) == ("aborted", "it eats batteries")
    assert (again.status, again.fields["error"]) == (409, f"roll-out {begun} is aborted")
    noted = [each.deed.what for each in site.kiln.audit.entries() if each.deed.who != "kiln"]
    assert noted == ["rollout.aborted", "rollout.resumed", "rollout.paused"]


def test_a_device_that_is_retired_leaves(begun: int, owner: Browser, site: Site) -> None:
    devices = DeviceSite.over(site)

    assert owner.send("DELETE", "/api/v1/devices/one").status == 200

    rows = owner.get(f"{LIST}/{begun}/devices").fields["items"]
    assert devices.accounts is not None
    assert [(each["device"], each["state"], each["reason"]) for each in rows if each["state"] == "left"] == [
        ("one", "left", "it is retired")
    ]


def test_what_waits_for_nobody_is_not_approved_and_what_did_not_fail_not_retried(begun: int, owner: Browser) -> None:
    assert owner.send("POST", f"{LIST}/{begun}/approve", json={}).status == 409
    retried = owner.send("POST", f"{LIST}/{begun}/retry", json={"devices": ["one"]})
    assert (retried.status, retried.fields["error"]) == (
        409,
        f"none of these failed in roll-out {begun}: `kiln rollouts devices {begun}` says how each ended",
    )
    assert owner.get(f"{LIST}/{begun}").fields["counts"]["ordered"] == 1
    for devices in ([], [1], ["Not An Id"], "one", ["one"] * 101):
        assert owner.send("POST", f"{LIST}/{begun}/retry", json={"devices": devices}).status == 400


def test_a_plan_is_kept_shown_and_dropped(owner: Browser, site: Site) -> None:
    default = owner.get(WHOSE).fields
    body = {"repository": "github/acme/secret", "channel": "beta", "plan": PLAN}
    changed = owner.send("PUT", "/api/v1/plans", json=body)
    shown = owner.get(WHOSE).fields
    dropped = owner.send("DELETE", WHOSE)

    assert (default["is_default"], len(default["plan"]["stages"])) == (True, 2)
    assert (changed.status, shown["is_default"], shown["plan"]["per_minute"]) == (200, False, 60)
    assert [each["name"] for each in shown["plan"]["stages"]] == ["1 device", "20 %", "all the rest"]
    assert dropped.fields["is_default"]
    noted = [(each.deed.subject, each.deed.detail) for each in site.kiln.audit.entries()]
    assert noted == [("beta", "as by default"), ("beta", "1 device, then 20 %, then all the rest")]


@pytest.mark.parametrize(
    ("method", "target", "json", "status"),
    [
        ("GET", f"{LIST}?limit=0", None, 400),
        ("GET", f"{LIST}?after=x", None, 400),
        ("GET", f"{LIST}/{2**63}", None, 404),
        ("GET", f"{LIST}/99", None, 404),
        ("GET", f"{LIST}/1/devices?state=asleep", None, 400),
        ("POST", f"{LIST}/1/abort", {"why": "x" * 201}, 400),
        ("POST", f"{LIST}/1/abort", {"because": "x"}, 400),
        ("GET", "/api/v1/plans?repository=github/acme/secret", None, 400),
        ("GET", f"{WHOSE}%20x", None, 400),
        ("PUT", "/api/v1/plans", {"repository": "github/acme/secret", "channel": "beta", "plan": {"stages": []}}, 400),
        ("PUT", "/api/v1/plans", {"repository": "github/acme/secret", "channel": "beta", "plan": []}, 400),
    ],
)
@pytest.mark.usefixtures("begun")
def test_what_is_wrong_is_refused(owner: Browser, method: str, target: str, json: Any, status: int) -> None:
    assert owner.send(method, target, json=json).status == status


def test_only_an_owner_sees_and_steers_roll_outs(begun: int, site: Site, viewer: Browser) -> None:
    anybody, stranger = site.browser(), site.browser().sign_in_as(site.user(9, "eve"))
    body = {"repository": "github/acme/secret", "channel": "beta", "plan": PLAN}
    for who, status, of_repository in ((anybody, 401, 404), (viewer, 403, 403), (stranger, 404, 404)):
        assert who.get(f"{LIST}/{begun}").status == status
        assert who.get(f"{LIST}/{begun}/devices").status == status
        assert who.get(WHOSE).status == of_repository
        assert who.send("PUT", "/api/v1/plans", json=body).status == of_repository
        assert who.send("DELETE", WHOSE).status == of_repository
        assert who.send("PUT", f"{LIST}/{begun}/plan", json={"plan": PLAN}).status == status
        for deed in ("pause", "resume", "approve", "abort", "retry"):
            assert who.send("POST", f"{LIST}/{begun}/{deed}", json={}).status == status, deed
    assert viewer.get(LIST).fields["items"] == []
