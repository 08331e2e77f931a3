"""All brokers: what is said and ordered while the service, the broker or both are away for half a day."""

import json
import pathlib
import time
from collections.abc import Sequence

import pytest

from service.adapters.broker_packets import Message
from service.adapters.broker_session import Spooled
from service.adapters.broker_store import MAX_OF_A_TOPIC, EmbeddedAccounts, MessageFile
from service.adapters.mqtt import MqttBroker
from service.domain.device import DeviceId
from service.domain.errors import BrokerError
from service.domain.rollout_plan import AT_ONCE
from service.flows import deliver, track
from tests.contract.broker_stage import Stage, desired, report, soon
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, token_change

TOKEN = "t" * 43  # as steps.enrolled gives it
DEVICES = 5
REPORTS = 6  # of each device, in each half of the time


def restart(stage: Stage, *, kill: bool) -> None:
    """Of the broker. One that is killed had the time that its documentation names."""
    if kill:
        time.sleep(stage.broker.settle_s)
        stage.broker.server.kill()
    else:
        stage.broker.server.stop()
    stage.broker.server.start()


def test_reports_outlast_the_service_and_a_broker_that_is_killed(stage: Stage, name: str) -> None:
    stage.service.stop()
    device = stage.device(name)
    for number in range(20):
        device.publish(report(name), f"before {number}".encode())

    restart(stage, kill=True)
    again = stage.device(name)  # it is back before the service is
    again.publish(report(name), b"after")
    stage.relink()

    wanted = [*(f"before {number}".encode() for number in range(20)), b"after"]
    assert soon(lambda: len(stage.reports_of(name)) >= len(wanted))
    assert stage.reports_of(name) == wanted


def test_what_the_service_has_taken_does_not_come_again(stage: Stage, name: str) -> None:
    stage.device(name).publish(report(name), b"once")
    assert soon(lambda: stage.reports_of(name) == [b"once"])
    time.sleep(max(1.5, stage.broker.settle_s))  # what is done is taken off the disk

    stage.service.stop()
    stage.broker.server.kill()
    stage.broker.server.start()
    stage.relink()
    stage.device(name).publish(report(name), b"twice")

    assert soon(lambda: b"twice" in stage.reports_of(name))
    assert stage.reports_of(name) == [b"once", b"twice"]


def test_a_service_that_is_slow_gets_all_of_a_device_that_talks_a_lot(stage: Stage, name: str) -> None:
    stage.service.stop()
    heard: list[bytes] = []
    link = MqttBroker(stage.broker.place, prepare=stage.broker.prepare)

    def take(said: Sequence[tuple[str, bytes]]) -> None:
        time.sleep(0.001 * len(said))
        heard.extend(payload for _, payload in said)

    link.on_reports(take)
    link.start()
    try:
        assert soon(lambda: link.is_connected)
        device = stage.device(name)
        for number in range(400):
            device.paho.publish(report(name), str(number).encode(), qos=1)
        assert soon(lambda: len(heard) >= 400)
    finally:
        link.stop()
    assert heard == [str(number).encode() for number in range(400)]


class Service:
    """What of the service speaks with the broker, in one process of it after another."""

    def __init__(self, stage: Stage, world: World) -> None:
        self.world, self.broker = world, stage.broker
        stage.service.stop()
        self.link = self._start()

    def _start(self) -> MqttBroker:
        link = MqttBroker(self.broker.place, prepare=self.broker.prepare)
        change = token_change(self.world)

        def take(said: Sequence[tuple[str, bytes]]) -> None:
            track.take_reports(said, change)

        link.on_reports(take)
        link.start()
        assert soon(lambda: link.is_connected)
        return link

    def come_back(self) -> None:
        self.link = self._start()
        self.drain()

    def drain(self) -> None:
        deliver.drain(fleet=self.world.fleet, broker=self.link, clock=self.world.clock)


def test_half_a_day_of_outages_loses_no_report_and_no_order(
    stage: Stage, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    names = [f"{name}-{number}" for number in range(DEVICES)]
    for each in names:
        enrolled(world, each, accounts=stage.broker.accounts)
    service = Service(stage, world)
    said: dict[str, list[int]] = {each: [] for each in names}
    try:
        announced(world, published(world, "morning"))
        service.drain()

        service.link.stop()  # the service is away; the devices talk all the time
        talk(stage, said, begin=0)
        world.clock.move(hours=6)
        restart(stage, kill=False)
        world.clock.move(hours=6)
        talk(stage, said, begin=REPORTS)
        restart(stage, kill=True)
        service.come_back()
        assert soon(lambda: all(heard(world, each) == said[each] for each in names))

        stage.broker.server.kill()  # the broker is away; the service has something to say
        monkeypatch.setattr("service.adapters.mqtt.PUBLISH_TIMEOUT_S", 0.5)
        announced(world, published(world, "evening"))
        with pytest.raises(BrokerError):
            service.drain()
        world.clock.move(hours=12)
        stage.broker.server.start()
        monkeypatch.undo()
        service.drain()
    finally:
        service.link.stop()
    for each in names:
        device = stage.connect(each, each, TOKEN).subscribe(desired(each))
        newest = world.fleet.notice(DeviceId(each))
        assert soon(lambda device=device, newest=newest: [said[1] for said in device.messages] == [newest])  # type: ignore[misc]  # mypy knows no lambda defaults


def talk(stage: Stage, said: dict[str, list[int]], *, begin: int) -> None:
    """Each device says some things, and is told that we have them."""
    for each, numbers in said.items():
        device = stage.connect(each, each, TOKEN)
        assert device.is_welcome
        for number in range(begin, begin + REPORTS):
            payload = {"v": 1, "state": "idle", "boots": number}
            device.publish(report(each), json.dumps(payload).encode())
            numbers.append(number)
        device.close()


def heard(world: World, name: str) -> list[int]:
    return [said.boots for _, said in reversed(world.fleet.reports(DeviceId(name)))]


# -- the embedded broker's file


def test_a_device_that_talks_a_lot_puts_out_nobody_elses_reports(tmp_path: pathlib.Path) -> None:
    EmbeddedAccounts(tmp_path)
    file = MessageFile(tmp_path)
    many = [Spooled(number, "service", message("a", number)) for number in range(1, 400)]

    file.write([], [Spooled(400, "service", message("b", 0))])
    for begin in range(0, len(many), 30):
        file.write([], many[begin : begin + 30])

    kept = file.waiting("service", 0, 1000)
    assert [each.message.payload for each in kept if each.message.topic == "b"] == [b"0"]
    assert [each.id for each in kept if each.message.topic == "a"] == list(range(400 - MAX_OF_A_TOPIC, 400))
    file.close()


def message(topic: str, number: int) -> Message:
    return Message(topic, str(number).encode(), 1, retain=False)


def test_what_waits_is_read_in_pages_and_gone_when_it_is_done(tmp_path: pathlib.Path) -> None:
    file = MessageFile(tmp_path)
    file.write([], [Spooled(number, "service", message(f"t{number}", number)) for number in range(1, 8)])

    assert [each.id for each in file.waiting("service", 0, 3)] == [1, 2, 3]
    assert [each.id for each in file.waiting("service", 3, 10)] == [4, 5, 6, 7]
    assert file.waiting("another", 0, 10) == []
    file.write([], [], [1, 2, 7])
    assert [each.id for each in file.waiting("service", 0, 10)] == [3, 4, 5, 6]
    file.close()

    again = MessageFile(tmp_path)
    assert again.last_id() == 6
    again.keep_filters("service", {"a/+": 1})
    assert again.filters() == {"service": {"a/+": 1}}
    again.keep_filters("service", None)
    assert (again.filters(), again.waiting("service", 0, 10)) == ({}, [])
    again.close()
