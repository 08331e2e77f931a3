"""One suite for both brokers, Kiln's own and a real Mosquitto: what arrives, and what survives."""

import time
from collections.abc import Sequence

import pytest

from service.adapters.broker_client import Place
from service.adapters.mqtt import MqttBroker
from service.domain.errors import BrokerError
from tests.contract.broker_stage import QUIET_S, Stage, alive, ask, desired, log, report, soon
from tests.servers import free_port

# -- the way there and back


def test_a_device_reads_its_desired_state_whenever_it_comes(stage: Stage, name: str) -> None:
    stage.service.publish(desired(name), b"one", retain=True)
    device = stage.device(name).subscribe(desired(name))
    assert soon(lambda: device.messages == [(desired(name), b"one", True)])

    stage.service.publish(desired(name), b"two", retain=True)

    assert soon(lambda: device.messages[1:] == [(desired(name), b"two", False)])


def test_an_empty_desired_state_removes_it(stage: Stage, name: str) -> None:
    stage.service.publish(desired(name), b"one", retain=True)
    stage.service.publish(desired(name), b"", retain=True)

    device = stage.device(name).subscribe(desired(name))

    time.sleep(QUIET_S)
    assert device.messages == []


def test_the_service_hears_reports_and_who_is_alive(stage: Stage, name: str) -> None:
    device = stage.device(name, will=alive(name))

    device.publish(alive(name), b"1", retain=True)
    device.publish(report(name), b'{"v":1}')
    device.die()

    assert soon(lambda: (name, b'{"v":1}') in stage.reports)
    assert soon(lambda: [each for each in stage.alive if each[0] == name] == [(name, True), (name, False)])


def test_a_device_is_asked_for_its_log_and_answers(stage: Stage, name: str) -> None:
    device = stage.device(name).subscribe(ask(name))

    stage.service.publish(ask(name), b"log", retain=False)
    assert soon(lambda: device.messages == [(ask(name), b"log", False)])
    device.publish(log(name), b"[ota] started\n")

    assert soon(lambda: (name, b"[ota] started\n") in stage.logs)


def test_what_a_device_left_as_alive_can_be_cleared(stage: Stage, name: str) -> None:
    stage.device(name).publish(alive(name), b"1", retain=True)
    assert soon(lambda: (name, True) in stage.alive)

    stage.service.publish(alive(name), b"", retain=True)
    stage.relink()
    stage.device(name).publish(report(name), b"later")

    assert soon(lambda: (name, b"later") in stage.reports)
    assert [each for each in stage.alive if each[0] == name] == [(name, True)]


def test_reports_come_in_order(stage: Stage, name: str) -> None:
    device = stage.device(name)

    for number in range(300):
        device.paho.publish(report(name), str(number).encode(), qos=1)

    assert soon(lambda: len(stage.reports_of(name)) == 300)
    assert stage.reports_of(name) == [str(number).encode() for number in range(300)]


def test_reports_wait_for_a_service_that_is_away(stage: Stage, name: str) -> None:
    device = stage.device(name)
    stage.service.stop()

    device.publish(report(name), b"while you were away")
    stage.relink()

    assert soon(lambda: stage.reports_of(name) == [b"while you were away"])


def test_one_odd_report_keeps_none_of_those_that_came_with_it(stage: Stage, name: str) -> None:
    device = stage.device(name)
    taken: list[bytes] = []
    stage.service.stop()
    for number in range(5):
        device.publish(report(name), b"%d" % number)
    other = MqttBroker(stage.broker.place, prepare=stage.broker.prepare)

    def take(said: Sequence[tuple[str, bytes]]) -> None:
        if (name, b"2") in said:
            raise ValueError(said)
        taken.extend(payload for device, payload in said if device == name)

    other.on_reports(take)
    other.start()
    try:
        assert soon(lambda: taken == [b"0", b"1", b"3", b"4"])
    finally:
        other.stop()
    assert taken == [b"0", b"1", b"3", b"4"]


def test_a_callback_may_fail_and_may_publish(stage: Stage, name: str, caplog: pytest.LogCaptureFixture) -> None:
    other = MqttBroker(stage.broker.place, prepare=stage.broker.prepare)
    stage.service.stop()

    def answer(said: Sequence[tuple[str, bytes]]) -> None:
        if any(payload == b"bad" for _, payload in said):
            raise ValueError(said)
        for device, _ in said:
            other.publish(desired(device), b"answer", retain=True)

    other.on_reports(answer)
    other.start()
    try:
        assert soon(lambda: other.is_connected)
        device = stage.device(name).subscribe(desired(name))
        device.publish(report(name), b"bad")
        device.publish(report(name), b"good")
        assert soon(lambda: device.messages == [(desired(name), b"answer", False)])
    finally:
        other.stop()
    assert "a report was not taken" in caplog.messages


def test_a_thousand_notices_go_out_together(stage: Stage) -> None:
    names = [f"many-{number}" for number in range(1000)]

    stage.service.publish_many([(desired(each), each.encode() * 50) for each in names], retain=True)

    device = stage.device(names[-1]).subscribe(desired(names[-1]))
    assert soon(lambda: [payload for _, payload, _ in device.messages] == [names[-1].encode() * 50])
    stage.service.publish_many([(desired(each), b"") for each in names], retain=True)


# -- what must survive


def test_a_retained_message_survives_a_restart(stage: Stage, name: str) -> None:
    device = stage.device(name)
    device.publish(alive(name), b"1", retain=True)
    stage.service.publish(desired(name), b"kept", retain=True)
    device.close()

    stage.broker.server.stop()
    stage.broker.server.start()

    again = stage.device(name).subscribe(desired(name))
    assert soon(lambda: again.messages == [(desired(name), b"kept", True)])


def test_a_retained_message_survives_kill_9(stage: Stage, name: str) -> None:
    names = [f"{name}-{number}" for number in range(30)]
    stage.service.publish_many([(desired(each), each.encode()) for each in names], retain=True)
    time.sleep(stage.broker.settle_s)

    stage.broker.server.kill()
    stage.broker.server.start()

    for each in (names[0], names[-1]):
        device = stage.device(each).subscribe(desired(each))
        assert soon(lambda device=device, each=each: device.messages == [(desired(each), each.encode(), True)])  # type: ignore[misc]  # mypy knows no lambda defaults


def test_the_service_comes_back_after_the_broker(stage: Stage, name: str) -> None:
    stage.device(name).close()
    stage.broker.server.kill()
    assert soon(lambda: not stage.service.is_connected)
    stage.broker.server.start()

    stage.service.publish(desired(name), b"after", retain=True)
    device = stage.device(name).subscribe(desired(name))
    device.publish(report(name), b"I am here")

    assert soon(lambda: device.messages == [(desired(name), b"after", True)])
    assert soon(lambda: (name, b"I am here") in stage.reports)


def test_without_a_broker_publishing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.mqtt.PUBLISH_TIMEOUT_S", 0.5)
    link = MqttBroker(Place(host="127.0.0.1", port=free_port(), password="x"))
    link.start()
    try:
        with pytest.raises(BrokerError, match="no connection"):
            link.publish(desired("x"), b"lost", retain=True)
    finally:
        link.stop()
