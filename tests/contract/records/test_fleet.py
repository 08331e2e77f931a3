"""What `service.records.Fleet` promises, on SQLite in a file."""

import datetime

import pytest
import sqlalchemy as sa

from service.adapters.fleet import DatabaseFleet
from service.adapters.heard import MAX_REPORTS
from service.domain.audit import Deed
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.errors import ConflictError, NotFoundError
from service.domain.notice import Order
from service.domain.release import ReleaseDigest
from tests.contract.records.conftest import BLINK, NOW

UNTIL = NOW + datetime.timedelta(days=90)


@pytest.fixture
def fleet(engine: sa.Engine) -> DatabaseFleet:
    return DatabaseFleet(engine)


def device(name: str = "d1") -> Device:
    return Device(
        id=DeviceId(name),
        repository=BLINK.id,
        board="unix",
        channel="beta",
        token_digest="0" * 64,
        created_at=NOW,
    )


def desire(fleet: DatabaseFleet, name: str, seq: int, notice: bytes) -> bool:
    order = Order(seq=seq, release=ReleaseDigest(str(seq) * 64), config="", notice=notice, until=UNTIL)
    return fleet.desire(DeviceId(name), order)


def test_a_device_id_is_used_once(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())

    with pytest.raises(ConflictError, match="d1"):
        fleet.add_device(device())
    assert fleet.device(DeviceId("d1")).report is None
    with pytest.raises(NotFoundError):
        fleet.device(DeviceId("d2"))


def test_a_desired_state_and_its_notice_are_one(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())

    assert desire(fleet, "d1", 1, b"one")
    assert not desire(fleet, "d1", 1, b"late")
    assert not desire(fleet, "d1", 5, b"early")

    assert fleet.device(DeviceId("d1")).desired == "1" * 64
    assert [each.payload for each in fleet.unsent()] == [b"one"]


def test_only_the_newest_notice_of_a_device_is_sent(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2"):
        fleet.add_device(device(name))
    desire(fleet, "d1", 1, b"1a")
    desire(fleet, "d2", 1, b"2a")
    desire(fleet, "d1", 2, b"1b")

    due = fleet.unsent()
    fleet.sent(due, now=NOW)

    assert [each.payload for each in due] == [b"2a", b"1b"]
    assert fleet.unsent() == []
    fleet.send_again(now=NOW)
    assert [each.payload for each in fleet.unsent()] == [b"2a", b"1b"]


def test_devices_whose_desired_state_expires_are_found(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2"):
        fleet.add_device(device(name))
    desire(fleet, "d1", 1, b"x")

    found = fleet.expiring(UNTIL + datetime.timedelta(seconds=1))

    assert [each.id for each in found] == ["d1"]
    assert found[0].desired_until == UNTIL
    assert fleet.expiring(UNTIL) == []
    assert fleet.expiring(UNTIL + datetime.timedelta(seconds=1), after="d1") == []


def test_a_withdrawn_device_leaves_nothing_behind(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    desire(fleet, "d1", 1, b"x")

    fleet.withdraw(DeviceId("d1"), deed=Deed(who="ann", what="device.enrolment_undone"), now=NOW)

    assert fleet.unsent() == []
    fleet.add_device(device())


def test_an_outcome_outlasts_the_idle_of_a_later_start(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    rolled_back = Report(state=DeviceState.ROLLED_BACK, reason="import_error", release="b" * 64, seq=3, boots=1)

    fleet.report([(DeviceId("d1"), rolled_back)], now=NOW)
    fleet.report([(DeviceId("d1"), Report(state=DeviceState.IDLE, seq=3, boots=2))], now=NOW)
    shown = fleet.device(DeviceId("d1")).report
    fleet.report([(DeviceId("d1"), Report(state=DeviceState.DOWNLOADING, seq=4))], now=NOW)
    later = fleet.device(DeviceId("d1")).report

    assert shown is not None
    assert (shown.state, shown.reason, shown.boots) == (DeviceState.ROLLED_BACK, "import_error", 2)
    assert fleet.reports(DeviceId("d1"))[1][1].state is DeviceState.IDLE
    assert later is not None
    assert later.state is DeviceState.DOWNLOADING


@pytest.mark.parametrize("passing", [DeviceState.DOWNLOADING, DeviceState.TRIAL])
def test_a_device_that_says_idle_is_not_shown_on_trial(fleet: DatabaseFleet, passing: DeviceState) -> None:
    """Its outcome came by HTTP and overtook what waited at the broker; or an order killed the board three times."""
    fleet.add_device(device())
    confirmed = Report(state=DeviceState.CONFIRMED, release="b" * 64, running="b" * 64, seq=3)
    for each in (confirmed, Report(state=passing, release="b" * 64, running="b" * 64, seq=3)):
        fleet.report([(DeviceId("d1"), each)], now=NOW)

    fleet.report([(DeviceId("d1"), Report(state=DeviceState.IDLE, running="b" * 64, seq=3))], now=NOW)

    shown = fleet.device(DeviceId("d1")).report
    assert shown is not None
    assert (shown.state, shown.is_settled) == (DeviceState.IDLE, True)


def test_a_crash_of_a_confirmed_release_is_shown(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    crashed = Report(state=DeviceState.IDLE, reason="crashed", detail="main.py:9", seq=3)
    for each in (Report(state=DeviceState.CONFIRMED, seq=3), crashed, Report(state=DeviceState.IDLE, seq=3)):
        fleet.report([(DeviceId("d1"), each)], now=NOW)
    shown = fleet.device(DeviceId("d1")).report
    fleet.report([(DeviceId("d1"), Report(state=DeviceState.CONFIRMED, seq=4))], now=NOW)
    later = fleet.device(DeviceId("d1")).report

    assert shown is not None
    assert (shown.state, shown.reason, shown.detail) == (DeviceState.IDLE, "crashed", "main.py:9")
    assert later is not None
    assert (later.state, later.reason) == (DeviceState.CONFIRMED, "")


def test_a_crash_of_what_ran_before_hides_no_roll_back(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    rolled_back = Report(state=DeviceState.ROLLED_BACK, reason="import_error", release="b" * 64, seq=3)
    for each in (rolled_back, Report(state=DeviceState.IDLE, reason="crashed", seq=3)):
        fleet.report([(DeviceId("d1"), each)], now=NOW)

    shown = fleet.device(DeviceId("d1")).report

    assert shown is not None
    assert (shown.state, shown.reason, shown.release) == (DeviceState.ROLLED_BACK, "import_error", "b" * 64)


def test_reports_of_many_devices_are_kept_at_once_in_their_order(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2", "gone"):
        fleet.add_device(device(name))
    fleet.retire(DeviceId("gone"), now=NOW)
    refused = Report(state=DeviceState.REFUSED, reason="no_space", seq=3)
    said = [("d1", refused), ("d2", Report(state=DeviceState.TRIAL)), ("d1", Report(state=DeviceState.IDLE, seq=3))]
    strangers = [("none", Report(state=DeviceState.IDLE)), ("gone", Report(state=DeviceState.IDLE))]

    known = fleet.report([(DeviceId(name), each) for name, each in (*said, *strangers)], now=NOW)

    assert known == {name: fleet.device(name) for name in (DeviceId("d1"), DeviceId("d2"))}
    shown = known[DeviceId("d1")].report
    assert shown is not None
    assert (shown.state, shown.reason) == (DeviceState.REFUSED, "no_space")
    assert [each.state.value for _, each in fleet.reports(DeviceId("d1"))] == ["idle", "refused"]
    assert fleet.reports(DeviceId("gone")) == []


def test_of_several_words_about_a_connection_the_last_is_kept(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2", "gone"):
        fleet.add_device(device(name))
    fleet.retire(DeviceId("gone"), now=NOW)
    said = [("d1", False), ("d2", True), ("d1", True), ("d2", False), ("gone", True), ("none", True)]

    known = fleet.alive([(DeviceId(name), is_alive) for name, is_alive in said], now=NOW)

    assert known == {"d1", "d2"}
    assert [fleet.device(DeviceId(each)).connected for each in ("d1", "d2", "gone")] == [True, False, False]


def test_reports_are_kept_newest_first_and_not_for_ever(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    for number in range(MAX_REPORTS + 5):
        fleet.report([(DeviceId("d1"), Report(state=DeviceState.IDLE, counter=number))], now=NOW)

    history = fleet.reports(DeviceId("d1"), limit=MAX_REPORTS + 5)

    assert [each.counter for _, each in history[:2]] == [MAX_REPORTS + 4, MAX_REPORTS + 3]
    assert len(history) == MAX_REPORTS
    last = fleet.device(DeviceId("d1"))
    assert last.report == history[0][1]
    assert last.seen_at == NOW
    assert fleet.report([(DeviceId("none"), Report(state=DeviceState.IDLE))], now=NOW) == {}
