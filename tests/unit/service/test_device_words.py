"""What devices say beside their orders: new fields of reports, logs, and how often they connect."""

import json

import pytest

from service.domain.device import MAX_LOG_CHARS, DeviceId, Report, joined, readable
from service.domain.errors import BadInputError, MalformedError, NotFoundError
from service.domain.reasons import REASONS, sentence
from service.flows import credentials, deliver, track
from service.flows.track import CONNECTS, Watch
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.configuring import parts
from tests.unit.service.conftest import World
from tests.unit.service.steps import enrolled

D1 = DeviceId("d1")


def test_the_fields_of_a_report_are_read() -> None:
    said = {
        "v": 1,
        "state": "idle",
        "config": "c" * 64,
        "agent": 3,
        "root": 2,
        "stale": True,
        "last": "import_error: ValueError main.py:3",
        "cause": "watchdog",
    }

    report = Report.parse(json.dumps(said).encode())

    assert {name: getattr(report, name) for name in said if name not in ("v", "state")} == {
        name: value for name, value in said.items() if name not in ("v", "state")
    }
    assert report.is_settled
    assert not Report.parse(b'{"v":1,"state":"idle"}').stale
    assert not Report.parse(b'{"v":1,"state":"idle","stale":"yes"}').stale
    assert not Report.parse(b'{"v":1,"state":"trial"}').is_settled


@pytest.mark.parametrize("field", ['"config":5', '"agent":"x"', '"root":1.5', '"last":[]', '"cause":{}'])
def test_a_field_of_another_kind_is_refused(field: str) -> None:
    with pytest.raises(MalformedError):
        Report.parse(f'{{"v":1,"state":"idle",{field}}}'.encode())


def test_a_log_keeps_its_last_lines_and_repeats_none(world: World) -> None:
    enrolled(world)

    for payload in (b"one\ntwo\n", b"two\nthree\n", b"two\nthree\n", b"\x1b[31mfour\n\xff"):
        track.take_log("d1", payload, fleet=world.fleet, clock=world.clock)

    log = world.fleet.log(D1)
    assert log is not None
    assert log.text == "one\ntwo\nthree\n [31mfour\n\ufffd"
    assert log.at == world.clock.now()
    for number in range(100):
        track.take_log("d1", f"{number} {'x' * 100}\n".encode(), fleet=world.fleet, clock=world.clock)
    log = world.fleet.log(D1)
    assert log is not None
    assert len(log.text) == MAX_LOG_CHARS
    assert log.text.endswith(f"99 {'x' * 100}\n")


def test_a_log_that_is_too_long_or_nobodys_is_refused(world: World) -> None:
    enrolled(world)

    with pytest.raises(MalformedError):
        track.take_log("d1", b"x" * 1025, fleet=world.fleet, clock=world.clock)
    with pytest.raises(NotFoundError):
        track.take_log("d2", b"x", fleet=world.fleet, clock=world.clock)
    with pytest.raises(BadInputError):
        track.take_log("#", b"x", fleet=world.fleet, clock=world.clock)
    assert world.fleet.log(D1) is None


def test_lines_are_joined_where_they_overlap() -> None:
    assert joined("", "a\n") == "a\n"
    assert joined("a\nb\n", "b\nc\n") == "a\nb\nc\n"
    assert joined("a\n", "c\n") == "a\nc\n"
    assert readable(b"a\tb\r\n") == "a b \n"


def is_odd(watch: Watch, *, is_alive: bool) -> bool:
    return watch.take_alive([("d1", is_alive)]) == ([D1], [])


def test_a24_two_boards_with_one_identity_are_told_by_how_they_come_and_go(world: World) -> None:
    enrolled(world)
    watch = Watch(world.fleet, world.clock)

    alarms = [is_odd(watch, is_alive=True)]
    for _ in range(3 * CONNECTS):
        world.clock.move(seconds=10)
        is_odd(watch, is_alive=False)  # the broker says it of the one that is put out
        alarms.append(is_odd(watch, is_alive=True))

    noted = [each for each in world.fleet.events(D1) if each.what == "alarm"]
    assert alarms.index(True) == CONNECTS
    assert alarms.count(True) == len(noted) == 1  # not again within the hour
    assert "another board" in noted[0].detail


def test_a_service_that_comes_back_to_the_broker_hears_nothing_odd(world: World) -> None:
    enrolled(world)
    watch = Watch(world.fleet, world.clock)

    assert not any(is_odd(watch, is_alive=True) for _ in range(3 * CONNECTS))


@pytest.mark.parametrize(("here_s", "away_s"), [(20, 3), (90, 0), (3, 90)])
def test_restarts_and_a_bad_line_are_no_alarm(world: World, here_s: int, away_s: int) -> None:
    enrolled(world)
    watch = Watch(world.fleet, world.clock)

    for _ in range(30):
        assert not is_odd(watch, is_alive=True)
        world.clock.move(seconds=here_s)
        is_odd(watch, is_alive=False)
        world.clock.move(seconds=away_s)

    assert not any(each.what == "alarm" for each in world.fleet.events(D1))
    assert world.fleet.device(D1).connected is False
    is_odd(watch, is_alive=True)
    assert world.fleet.device(D1).connected is True


def test_a23_the_last_word_of_a_retired_device_is_cleared_again(world: World) -> None:
    enrolled(world)
    broker, watch = MemoryBroker(), Watch(world.fleet, world.clock)
    credentials.retire(D1, parts(world), accounts=MemoryAccounts(), by="ann")
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
    broker.retained["kiln/v1/d1/alive"] = b"0"  # its last will, told when the broker closed it

    assert watch.take_alive([("d1", False)]) == ([], [D1])
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)

    assert broker.retained == {}


def test_every_reason_has_a_sentence() -> None:
    assert all(text and text == sentence(reason) for reason, text in REASONS.items())
    assert sentence("") == sentence("never heard of") == ""
