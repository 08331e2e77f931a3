"""Maintenance windows, by the clock on a wall, where clocks are changed as well."""

import datetime
import zoneinfo

import pytest
from hypothesis import example, given, strategies as st

from service.domain.errors import BadInputError
from service.domain.window import DAYS, LOOK, MINUTE, Window

NIGHT = Window.parse({"days": ["fri", "sat"], "from": "22:00", "to": "04:00", "zone": "Europe/Berlin"})
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
# Where clocks are put forward and back.
SPRING = datetime.datetime(2026, 3, 29, 0, 0, tzinfo=datetime.UTC)
AUTUMN = datetime.datetime(2026, 10, 25, 0, 0, tzinfo=datetime.UTC)

windows = st.builds(
    lambda days, start, length, zone: Window(days=days, start=start, end=(start + length) % 1440, zone=zone),
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    st.integers(0, 1439),
    st.integers(30, 1439),
    st.sampled_from(ZONES),
)
SECONDS = st.integers(1_735_689_600, 1_830_297_600)  # of the years 2025 to 2027
moments = SECONDS.map(lambda at: datetime.datetime.fromtimestamp(at, datetime.UTC))
near_changes = st.builds(
    lambda at, minutes: at + datetime.timedelta(minutes=minutes),
    st.sampled_from([SPRING, AUTUMN]),
    st.integers(-1440, 2880),
)


def local(text: str, zone: str = "Europe/Berlin") -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-01-02T21:59", False),  # a Friday
        ("2026-01-02T22:00", True),
        ("2026-01-03T03:59", True),  # the window of Friday
        ("2026-01-03T04:00", False),
        ("2026-01-04T03:00", True),  # the window of Saturday, on a Sunday
        ("2026-01-04T23:00", False),
        ("2026-01-02T03:00", False),  # of a Thursday
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_began(at: str, is_open: bool) -> None:
    assert NIGHT.is_open(local(at)) is is_open


@given(windows, moments | near_changes)
@example(Window(days=(6,), start=120, end=180, zone="Europe/Berlin"), SPRING)  # an hour that there is not
@example(Window(days=(6,), start=150, end=210, zone="Europe/Berlin"), SPRING)  # half of it
@example(Window(days=(6,), start=120, end=180, zone="Europe/Berlin"), AUTUMN)  # an hour that comes twice
def test_it_is_open_just_when_the_clock_on_the_wall_says_so(window: Window, now: datetime.datetime) -> None:
    wall = now.astimezone(zoneinfo.ZoneInfo(window.zone)).replace(tzinfo=None)
    opened = wall.replace(hour=window.start // 60, minute=window.start % 60, second=0, microsecond=0)
    # Of today, or of yesterday; wall clocks are compared, so no zone plays a part.
    spans = [opened - datetime.timedelta(days=each) for each in (0, 1)]
    length = datetime.timedelta(minutes=window.length)

    expected = any(each <= wall < each + length and each.weekday() in window.days for each in spans)

    assert window.is_open(now) is expected


@given(windows, moments | near_changes)
@example(Window(days=(6,), start=120, end=180, zone="Europe/Berlin"), SPRING)
@example(Window(days=(5, 6), start=0, end=31, zone="UTC"), SPRING.replace(minute=31))  # closed a moment ago
def test_it_opens_at_the_first_minute_that_is_open(window: Window, now: datetime.datetime) -> None:
    at = window.opens_at(now)

    assert now <= at <= now + LOOK + datetime.timedelta(minutes=15)
    assert window.is_open(at)
    if at > now:
        assert not window.is_open(now)
        assert not window.is_open(at - MINUTE) or at - MINUTE <= now
        assert at.second == 0


def test_an_hour_that_is_left_out_is_made_up_for_a_week_later() -> None:
    window = Window.parse({"days": ["sun"], "from": "02:00", "to": "03:00", "zone": "Europe/Berlin"})

    assert window.opens_at(SPRING) == local("2026-04-05T02:00")
    assert window.is_open(local("2026-10-25T02:30"))
    assert window.is_open(local("2026-10-25T02:30").replace(fold=1))


@given(windows)
def test_what_is_written_is_read_again(window: Window) -> None:
    assert Window.parse(window.to_json()) == window


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ([], "'from'"),
        ({"from": "22:00"}, "'to'"),
        ({"from": "22:00", "to": "04:00", "at": 1}, "'from'"),
        ({"from": "24:01", "to": "04:00"}, "'from'"),
        ({"from": "24:00", "to": "04:00"}, "'from'"),
        ({"from": 22, "to": "04:00"}, "'from'"),
        ({"from": "22:00", "to": "4:00"}, "'to'"),
        ({"from": "22:00", "to": "22:10"}, "30 minutes"),
        ({"from": "22:00", "to": "04:00", "days": []}, "'days'"),
        ({"from": "22:00", "to": "04:00", "days": ["monday"]}, "mon, tue"),
        ({"from": "22:00", "to": "04:00", "days": [["mon"]]}, "mon, tue"),
        ({"from": "22:00", "to": "04:00", "zone": "Mars/Olympus"}, "time zone"),
        ({"from": "22:00", "to": "04:00", "zone": "../../etc/passwd"}, "time zone"),
        ({"from": "22:00", "to": "04:00", "zone": ""}, "time zone"),
        ({"from": "22:00", "to": "04:00", "zone": 1}, "time zone"),
    ],
)
def test_what_is_no_window_is_named(value: object, names: str) -> None:
    with pytest.raises(BadInputError) as caught:
        Window.parse(value)
    assert names in str(caught.value)


def test_a_window_of_every_day_in_utc_is_what_is_meant_by_default() -> None:
    window = Window.parse({"from": "00:00", "to": "24:00"})

    assert window.to_json() == {"days": list(DAYS), "from": "00:00", "to": "24:00", "zone": "UTC"}
    assert window.is_open(SPRING)
