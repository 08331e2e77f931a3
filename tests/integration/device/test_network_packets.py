"""The line to a broker that breaks at any byte, or that says anything but MQTT. A6, A9, A12."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.device.network import LONGEST_MS, Server, micropython
from tests.integration.device.packets import CONNACK, PINGRESP, PUBACK, SUBACK, packet, publication, text
from tests.servers import free_port

pytestmark = [pytest.mark.enable_socket]

ORDER = b"an.order.signed"
WHOLE = CONNACK + SUBACK + PUBACK + publication(ORDER)
# Their pauses pass fifty times faster; so does the patience of 10 s with a busy machine.
# One after another: a line that may be bad, then good ones until an order is heard.
LINK = """
from ota import link
import time
hurry(values.get("times", 50))
hal.jitter = lambda limit: 0
longest = 0
def turn(line):
    global longest
    start = time.ticks_us()
    heard = line.poll()
    longest = max(longest, time.ticks_diff(time.ticks_us(), start))
    return heard
device["mqtt"] = {"host": "127.0.0.1", "port": values["port"]}
for _ in range(values["lines"]):
    lines.clear()
    line = link.Link(device)
    heard = None
    begun = time.ticks_ms()
    while heard != values["order"].encode() and time.ticks_diff(time.ticks_ms(), begun) < 30000:
        heard = turn(line)
        time.sleep_us(100)
    say([heard and heard.decode(), line.up(), lines[:3]])
    line.close()
say(longest // 1000)
"""


def in_turn(bad: list[bytes]) -> Callable[[str], Iterator[bytes]]:
    """Each bad stream once, a good one after each."""
    streams = iter([stream for one in bad for stream in (one, WHOLE)])

    def reply(_: str) -> Iterator[bytes]:
        yield next(streams, WHOLE)

    return reply


def meet(bad: list[bytes], **values: Any) -> list[Any]:
    """What each line said that met one bad stream first; last the longest poll() in milliseconds."""
    with Server(in_turn(bad), http=False) as broker:
        common = {"port": broker.port, "order": ORDER.decode(), "lines": len(bad)}
        return micropython(LINK, {"base": ""}, **{**common, **values})


def test_a_line_cut_at_any_byte_comes_back_and_hears_the_order() -> None:
    cuts = range(len(WHOLE))

    *said, longest_ms = meet([WHOLE[:cut] for cut in cuts])

    assert [heard for heard, _, _ in said] == [ORDER.decode()] * len(cuts)
    assert longest_ms < LONGEST_MS


HOSTILE: dict[str, bytes] = {
    "refused": b"\x20\x02\x00\x05",
    "not MQTT": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another first packet": SUBACK + CONNACK,
    "subscription refused": CONNACK + b"\x90\x04\x00\x01\x80\x80",
    "short SUBACK": CONNACK + b"\x90\x03\x00\x01\x01",
    "length of five bytes": CONNACK + b"\x90\xff\xff\xff\xff\x01",
    "reserved type 0": CONNACK + SUBACK + b"\x00\x00",
    "reserved type 15": CONNACK + SUBACK + b"\xf0\x00",
    "what only a client sends": CONNACK + SUBACK + packet(0x10, b"x" * 20),
    "a topic longer than the packet": CONNACK + SUBACK + PUBACK + packet(0x32, b"\xff\xff" + b"x" * 30),
    "no topic": CONNACK + SUBACK + PUBACK + packet(0x32, b""),
    "no packet id": CONNACK + SUBACK + PUBACK + packet(0x32, text("kiln/v1/d1/desired")),
    "QoS 2": CONNACK + SUBACK + PUBACK + publication(ORDER, kind=0x34),
    "QoS 3": CONNACK + SUBACK + PUBACK + publication(ORDER, kind=0x36),
    "1 MB announced": CONNACK + SUBACK + packet(0x32, b"x" * 500, size=1 << 20),
    "200 MB announced": CONNACK + SUBACK + packet(0x32, b"x" * 500, size=200 << 20),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_what_is_not_mqtt_ends_the_line_and_the_next_one_works(name: str) -> None:
    (heard, up, lines), longest_ms = meet([HOSTILE[name]])

    assert (heard, up) == (ORDER.decode(), True)
    assert lines[0].startswith("broker:")
    assert longest_ms < LONGEST_MS


GOOD: dict[str, bytes] = {
    "empty and other messages": publication(b"") + publication(b"x", topic="other") + publication(b"log", topic="ask"),
    "answers that nobody waits for": PUBACK + PINGRESP + b"\x40\x02\xff\xff" + b"\x40\x01\x00",
    "QoS 0": publication(ORDER, kind=0x30),
    "retained and repeated": publication(ORDER, kind=0x3B),
}


@pytest.mark.parametrize("name", list(GOOD))
def test_what_is_of_no_use_does_no_harm(name: str) -> None:
    stream = CONNACK + SUBACK + PUBACK + GOOD[name] + publication(ORDER)

    (heard, up, lines), _ = meet([stream], times=2)

    assert (heard, up, lines) == (ORDER.decode(), True, [])


def test_mutated_streams_never_raise_and_never_stop_the_line() -> None:
    chance = random.Random(14)
    packets = [CONNACK, SUBACK, PUBACK, PINGRESP, publication(ORDER), publication(b"x" * 1500)]

    def mutated() -> bytes:
        order = [CONNACK, SUBACK, *chance.choices(packets, k=chance.randrange(6))]
        if chance.random() < 0.3:
            chance.shuffle(order)
        stream = bytearray(b"".join(order))
        for _ in range(chance.randrange(4)):
            stream[chance.randrange(len(stream))] = chance.randrange(256)
        return bytes(stream[: chance.randrange(1, len(stream) + 1)])

    *said, longest_ms = meet([mutated() for _ in range(300)])

    assert [heard for heard, _, _ in said] == [ORDER.decode()] * 300
    assert longest_ms < LONGEST_MS


# Time is the number of looks here: a machine that stalls takes none of it away.
ENDLESS = """
from ota import link
import time
now = 0
hal.jitter = lambda limit: 0
hal.ticks_ms = lambda: now
hal.ticks_diff = lambda end, start: end - start
device["mqtt"] = {"host": "127.0.0.1", "port": values["port"]}
line = link.Link(device)
longest, heard = 0, []
while now < values["ms"] and len(heard) < values["most"]:
    start = time.ticks_us()
    got = line.poll()
    longest = max(longest, time.ticks_diff(time.ticks_us(), start))
    if got is not None:
        heard.append(len(got))
    now += 1
    time.sleep_ms(1)
say([heard, longest // 1000, line.greeted, lines])
"""


def test_a9_a_message_of_ten_megabytes_is_left_unread_and_met_later_and_later() -> None:
    def reply(_: str) -> Iterator[bytes]:
        yield CONNACK + SUBACK
        yield packet(0x32, text("kiln/v1/d1/desired"), size=10 << 20)
        for _number in range(160):
            yield b"x" * 65536

    with Server(reply, http=False) as broker:
        [[heard, longest_ms, greeted, lines]] = micropython(ENDLESS, {"base": ""}, port=broker.port, ms=4000, most=99)

    # After 0.5, 1 and 2 seconds; a broker like this one does not count as found.
    assert greeted in (3, 4)
    assert heard == [0] * greeted
    assert set(lines) == {"broker: packet of 10485760 bytes"}
    assert longest_ms < LONGEST_MS


def test_a9_a_message_of_two_hundred_kilobytes_is_passed_over_without_leaving() -> None:
    def reply(_: str) -> Iterator[bytes | float]:
        yield CONNACK + SUBACK + PUBACK + publication(b"x" * 200_000) + publication(ORDER)
        yield 5.0

    with Server(reply, http=False) as broker:
        [[heard, longest_ms, greeted, lines]] = micropython(ENDLESS, {"base": ""}, port=broker.port, ms=20_000, most=2)

    assert (heard, greeted, lines) == ([0, len(ORDER)], 1, [])
    assert longest_ms < LONGEST_MS


FLOOD = """
from ota import link
import time
real = net.socket
class Narrow:
    # A board's buffer for what it sends is small; this machine's would take megabytes.
    AF_INET = real.AF_INET
    SOCK_STREAM = real.SOCK_STREAM
    getaddrinfo = real.getaddrinfo
    def socket(self):
        made = real.socket()
        made.setsockopt(real.SOL_SOCKET, 7, 2048)
        return made
net.socket = Narrow()
device["mqtt"] = {"host": "127.0.0.1", "port": values["port"]}
line = link.Link(device)
longest, count, begun = 0, 0, time.ticks_ms()
while not any("broker" in word for word in lines) and time.ticks_diff(time.ticks_ms(), begun) < 20000:
    start = time.ticks_us()
    count += line.poll() is not None
    longest = max(longest, time.ticks_diff(time.ticks_us(), start))
say([count, longest // 1000, lines])
"""


def test_a12_a_broker_that_only_sends_and_never_reads_is_left() -> None:
    def reply(_: str) -> Iterator[bytes]:
        yield CONNACK + SUBACK + PUBACK
        flood = publication(b"x") * 2000
        while True:
            yield flood

    with Server(reply, http=False) as broker:
        [[count, longest_ms, lines]] = micropython(FLOOD, {"base": ""}, port=broker.port)

    assert count > 16  # as many answers as the agent keeps, and what the buffers hold
    assert longest_ms < LONGEST_MS
    assert lines[0] in ("broker: broker does not read", "broker: 104 ECONNRESET")


def test_a6_a_thousand_repetitions_of_a_message_are_each_acknowledged() -> None:
    def reply(_: str) -> Iterator[bytes | float]:
        yield CONNACK + SUBACK + PUBACK
        for number in range(1000):
            yield publication(ORDER, pid=number + 1, kind=0x3A)
        yield 5.0

    with Server(reply, http=False) as broker:
        [[heard, _, greeted, lines]] = micropython(ENDLESS, {"base": ""}, port=broker.port, ms=20_000, most=1000)

    assert heard == [len(ORDER)] * 1000
    assert (greeted, lines) == (1, [])


DAY = """
from ota import link, greet
from ota import net as lines_of
import time
now = 0
hal.ticks_ms = lambda: now
hal.ticks_diff = lambda end, start: end - start
attempts = 0
dial = lines_of.dial
def counted(*words):
    global attempts
    attempts += 1
    return dial(*words)
lines_of.dial = counted
forget = link.app.forget
link.app.forget = lambda *names: forget(*[name for name in names if name != "net"])
device["mqtt"] = {"host": "127.0.0.1", "port": values["closed"]}
line = link.Link(device)
longest = 0
while now < 24 * 3600 * 1000:
    start = time.ticks_us()
    line.poll()
    longest = max(longest, time.ticks_diff(time.ticks_us(), start))
    now += 500
say(attempts)
say(longest // 1000)
device["mqtt"]["port"] = values["port"]
back, heard, before = now, None, attempts
while heard is None and now - back < 200 * 1000:
    heard = line.poll()
    now += 50
    if attempts > before:
        time.sleep_ms(10)
say([heard and heard.decode(), (now - back) // 1000])
"""


def test_a12_a_day_without_a_broker_costs_an_attempt_a_minute_or_two() -> None:
    with Server(lambda _: [WHOLE], http=False) as broker:
        closed = free_port()
        said = micropython(DAY, {"base": ""}, port=broker.port, closed=closed)

    attempts, longest_ms, [heard, seconds] = said
    assert 24 * 30 <= attempts <= 24 * 60 + 20
    assert longest_ms < LONGEST_MS
    assert heard == ORDER.decode()
    assert seconds <= 130
