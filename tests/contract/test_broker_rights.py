"""One suite for both brokers: who may connect, speak and hear. Attack rows are of A22 and A9."""

import contextlib
import socket
import struct
import time

import pytest

from service.domain.errors import BadInputError
from tests.contract.broker_stage import QUIET_S, WAIT_S, Stage, alive, ask, desired, log, report, soon

# -- who may connect


def test_who_is_not_known_is_refused(stage: Stage, name: str) -> None:
    stage.allow(name)

    assert not stage.connect(name, name, "wrong").is_welcome
    assert not stage.connect(name, name, "").is_welcome
    assert not stage.connect(name).is_welcome
    assert not stage.connect("stranger", "stranger", "x").is_welcome
    assert not stage.connect("kiln-service-2", "kiln-service", "wrong").is_welcome


def test_a_stranger_does_not_disturb_whose_name_it_uses(stage: Stage, name: str) -> None:
    device = stage.device(name).subscribe(desired(name))

    for clean in (True, False):
        assert not stage.connect(name, name, "wrong", clean=clean, will=desired(name)).is_welcome

    stage.service.publish(desired(name), b"still here", retain=True)
    assert soon(lambda: device.messages == [(desired(name), b"still here", False)])
    assert not device.is_gone.is_set()


def test_a_device_does_not_disturb_another_by_its_client_id(stage: Stage, name: str) -> None:
    victim = stage.device(name).subscribe(desired(name))
    token = stage.allow(f"{name}-evil")

    stage.connect(name, f"{name}-evil", token)
    stage.connect("kiln-service", f"{name}-evil", token)

    stage.service.publish(desired(name), b"still here", retain=True)
    assert soon(lambda: victim.messages == [(desired(name), b"still here", False)])
    assert not victim.is_gone.is_set()


def test_a_new_token_replaces_the_old_one(stage: Stage, name: str) -> None:
    old = stage.allow(name)

    stage.allow(name)

    assert soon(lambda: not stage.connect(name, name, old).is_welcome)


def test_two_tokens_are_taken_while_one_follows_the_other_or_the_broker_says_that_it_cannot(
    stage: Stage, name: str
) -> None:
    accounts, old, new = stage.broker.accounts, stage.allow(name), "n" * 43
    connected = stage.device(name)

    takes_both = accounts.allow_also(name, new)

    if takes_both:
        assert soon(lambda: stage.connect(f"{name}", name, new).is_welcome)
    assert stage.connect(name, name, old).is_welcome
    accounts.allow(name, new)
    assert soon(lambda: stage.connect(name, name, new).is_welcome)
    assert not stage.connect(name, name, old).is_welcome
    assert connected.is_gone.wait(WAIT_S)


def test_who_is_connected_with_the_token_that_stays_is_not_disturbed(stage: Stage, name: str) -> None:
    accounts, token = stage.broker.accounts, stage.allow(name)
    if accounts.allow_also(name, "n" * 43):
        token = "n" * 43
        assert soon(lambda: stage.connect(name, name, token).is_welcome)
    device = stage.connect(name, name, token)
    device.subscribe(desired(name))

    for _ in range(3):
        accounts.allow_also(name, token)
    accounts.allow(name, token)
    stage.allow(f"{name}-other")
    time.sleep(1.2)

    assert not device.is_gone.is_set()
    stage.service.publish(desired(name), b"still here", retain=True)
    assert soon(lambda: device.messages == [(desired(name), b"still here", False)])


def test_forbidding_a_device_ends_both_of_its_tokens(stage: Stage, name: str) -> None:
    old = stage.allow(name)
    stage.broker.accounts.allow_also(name, "n" * 43)

    stage.broker.accounts.forbid(name)

    assert soon(lambda: not stage.connect(name, name, old).is_welcome)
    assert not stage.connect(name, name, "n" * 43).is_welcome


def test_a_forbidden_device_is_closed_and_stays_out(stage: Stage, name: str) -> None:
    token = stage.allow(name)
    device = stage.device(name)

    stage.broker.accounts.forbid(name)
    stage.broker.accounts.forbid(name)

    assert soon(lambda: not stage.connect(name, name, token).is_welcome)
    assert device.is_gone.wait(WAIT_S)


def test_other_devices_stay_connected_when_accounts_change(stage: Stage, name: str) -> None:
    device = stage.device(name).subscribe(desired(name))

    stage.allow(f"{name}-new")
    stage.broker.accounts.forbid(f"{name}-new")
    time.sleep(1.2)

    stage.service.publish(desired(name), b"still here", retain=True)
    assert soon(lambda: device.messages == [(desired(name), b"still here", False)])


@pytest.mark.parametrize(
    "bad", ["", "+", "#", "a/b", "a:b", "a\nb", "kiln-service", "kiln-service-2", "%u", "a b", "é"]
)
def test_a_name_that_means_something_is_refused(stage: Stage, bad: str) -> None:
    with pytest.raises(BadInputError):
        stage.broker.accounts.allow(bad, "token")


# -- A22: what a device may say and hear


@pytest.mark.parametrize(
    "wanted",
    [
        "#",
        "kiln/#",
        "kiln/v1/+/desired",
        "kiln/v1/+/ask",
        "kiln/v1/+/log",
        "kiln/v1/{victim}/desired",
        "kiln/v1/{victim}/log",
        "kiln/v1/{victim}/#",
        "+/v1/{victim}/+",
        "$SYS/#",
    ],
)
def test_a22_a_device_hears_nothing_of_another(stage: Stage, name: str, wanted: str) -> None:
    victim = f"{name}-victim"
    stage.service.publish(desired(victim), b"retained secret", retain=True)

    device = stage.device(name).subscribe(wanted.format(victim=victim))
    stage.service.publish(desired(victim), b"live secret", retain=True)
    stage.service.publish(ask(victim), b"log", retain=False)
    stage.device(victim).publish(report(victim), b"report secret")
    stage.device(victim).publish(log(victim), b"log secret")

    time.sleep(QUIET_S)
    assert [each for each in device.messages if each[0].startswith("kiln/") and victim in each[0]] == []
    assert [each for each in device.messages if each[0].startswith("$SYS")] == []


@pytest.mark.parametrize("kind", ["report", "alive", "desired", "log", "ask"])
def test_a22_a_device_says_nothing_for_another(stage: Stage, name: str, kind: str) -> None:
    victim = f"{name}-victim"
    listening = stage.device(victim).subscribe(desired(victim)).subscribe(ask(victim))

    stage.device(name).publish(f"kiln/v1/{victim}/{kind}", b"forged", retain=True)

    time.sleep(QUIET_S)
    assert [each for each in stage.logs if each[0] == victim] == []
    assert [each for each in stage.reports if each[0] == victim] == []
    assert [each for each in stage.alive if each[0] == victim] == []
    assert listening.messages == []
    assert stage.device(victim).subscribe(desired(victim)).messages == []


def test_a22_a_device_sets_no_desired_state_not_even_its_own(stage: Stage, name: str) -> None:
    stage.service.publish(desired(name), b"signed", retain=True)

    stage.device(name).publish(desired(name), b"forged", retain=True)
    stage.device(name).publish(desired(name), b"", retain=True)
    stage.device(name).publish(ask(name), b"log", retain=True)

    device = stage.device(name).subscribe(ask(name)).subscribe(desired(name))
    assert soon(lambda: device.messages == [(desired(name), b"signed", True)])


def test_a22_a_last_will_has_no_more_rights_than_a_message(stage: Stage, name: str) -> None:
    victim = f"{name}-victim"
    listening = stage.device(victim).subscribe(desired(victim))
    token = stage.allow(name)

    for topic in (desired(victim), report(victim), alive(victim), log(victim), ask(victim), desired(name)):
        client = stage.connect(name, name, token, will=topic)
        if client.is_welcome:
            client.die()

    time.sleep(QUIET_S)
    assert listening.messages == []
    assert [each for each in stage.reports if each[0] == victim] == []
    assert [each for each in stage.alive if each[0] == victim] == []
    assert stage.device(name).subscribe(desired(name)).messages == []


# -- A9 and worse: what must not bring the broker down


def test_a9_a_message_of_a_megabyte_is_not_taken(stage: Stage, name: str) -> None:
    device = stage.device(name)

    device.publish(report(name), b"x" * (1 << 20))

    stage.device(name).publish(report(name), b"small")
    assert soon(lambda: stage.reports_of(name) == [b"small"])


CONNECT_HEAD = b"\x00\x04MQTT\x04"
GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "zeros": b"\0" * 100,
    "endless length": b"\x10\xff\xff\xff\xff\xff\xff",
    "256 MB": b"\x10\xff\xff\xff\x7f" + b"x" * 100_000,
    "publish first": b"\x30\x05\x00\x01ahi",
    "cut": b"\x10\x20" + CONNECT_HEAD,
    "not utf-8": b"\x10\x0f" + CONNECT_HEAD + b"\x02\x00\x3c\x00\x03\xff\xfe\xfd",
    "contradicting flags": b"\x10\x0c" + CONNECT_HEAD + b"\xff\x00\x3c\x00\x00",
    "version 9": b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_closes_its_own_connection_only(stage: Stage, name: str, kind: str) -> None:
    device = stage.device(name)
    stranger = socket.create_connection(("127.0.0.1", stage.broker.port), timeout=WAIT_S)
    with stranger, contextlib.suppress(ConnectionError):
        stranger.sendall(GARBAGE[kind])
        with contextlib.suppress(OSError):  # closed already
            stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(1000):
            pass

    device.publish(report(name), b"still here")

    assert soon(lambda: (name, b"still here") in stage.reports)


def text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def test_a_device_that_falls_silent_is_closed_and_its_will_is_told(stage: Stage, name: str) -> None:
    token = stage.allow(name)
    body = CONNECT_HEAD + b"\xe6" + struct.pack("!H", 1) + text(name) + text(alive(name)) + text("0")
    body += text(name) + text(token)
    with socket.create_connection(("127.0.0.1", stage.broker.port), timeout=10) as silent:
        silent.sendall(bytes([0x10, len(body) & 0x7F | 0x80, len(body) >> 7]) + body)
        assert silent.recv(4) == b"\x20\x02\x00\x00"
        assert silent.recv(1) == b""

    assert soon(lambda: (name, False) in stage.alive)
