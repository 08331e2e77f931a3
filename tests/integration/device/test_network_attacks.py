"""Servers that are slow, that never end, or that lie. A9, A11."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.device.network import LONGEST_MS, Server, header, micropython, ok, once, ranged

pytestmark = [pytest.mark.enable_socket]

SIZE = 4000
BODY = bytes(i * 7 % 251 for i in range(SIZE))
HEAD = ok(BODY)[:-SIZE]
# Reads a bundle; says how it ended, how far it came, what went by the clock that hurries (seconds),
# and the longest time between two calls of idle (milliseconds, by that clock). Where no pace of the other
# side is to be met, the clock is one that only pauses move.
READ = """
if values["times"]:
    hurry(values["times"])
else:
    patient()
gaps, begun = 0, hal.ticks_ms()
last = begun
def idle():
    global gaps, last
    now = hal.ticks_ms()
    gaps, last = max(gaps, hal.ticks_diff(now, last)), now
source = download.Source(device, "/bundle", values["size"], idle)
view = memoryview(bytearray(512))
def read():
    while source.readinto(view):
        pass
    return "whole"
end = tried(read)
source.close()
say([end, source.at, hal.ticks_diff(hal.ticks_ms(), begun) // 1000, gaps])
"""


def read(server: Server, *, times: int = 0, **device: Any) -> list[Any]:
    [found] = micropython(READ, {"base": server.base, **device}, size=SIZE, times=times)
    return list(found)


def test_a11_one_byte_in_seven_seconds_is_given_up_after_a_minute() -> None:
    def reply(request: str) -> Iterator[bytes | float]:
        answer = ranged(BODY, request)
        head = answer.index(b"\r\n\r\n") + 4
        yield answer[:head]
        for at in range(head, len(answer)):
            yield answer[at : at + 1]
            yield 0.35

    with Server(reply) as server:
        end, at, seconds, _ = read(server, times=20)

    assert end == ["download_failed", "too slow"]
    assert 0 < at < 20
    assert 60 <= seconds < 600  # a stall of this machine counts twenty times; the whole would take hours


def test_a11_a_head_that_drips_ends_each_attempt_and_then_all_of_them() -> None:
    def reply(_: str) -> Iterator[bytes | float]:
        for byte in HEAD:
            yield bytes([byte])
            yield 0.09

    with Server(reply) as server:
        end, at, seconds, _ = read(server, times=100, slow_s=3600)

    assert end == ["download_failed", "no answer: OSError('no answer in time',)"]
    assert at == 0
    assert len(server.requests) == 6
    assert 60 <= seconds < 1500  # a stall of this machine counts a hundred times


def test_a11_a_stall_at_99_percent_is_taken_up_at_that_byte() -> None:
    stop = len(BODY) * 99 // 100

    def reply(request: str) -> Iterator[bytes | float]:
        answer = ranged(BODY, request)
        if header(request, "Range"):
            yield answer
            return
        yield answer[: len(HEAD) + stop]
        yield 20.0

    with Server(reply) as server:
        end, at, seconds, _ = read(server)

    assert (end, at) == ("whole", SIZE)
    assert [header(request, "Range") for request in server.requests] == ["", f"bytes={stop}-"]
    assert 10 <= seconds < 25


def test_a11_the_agent_is_called_often_while_a_server_stalls() -> None:
    def reply(_: str) -> Iterator[bytes | float]:
        yield HEAD + BODY[:100]
        yield 20.0

    with Server(reply) as server:
        end, _, _, gap_ms = read(server, stall_s=0.4, slow_s=2)

    # Whoever feeds a watchdog or keeps the broker's line does it there.
    assert end == ["download_failed", "too slow"]
    assert gap_ms < 250


STEPS = """
import time
hurry(1)
longest = 0
errand = poll.desired(device)
try:
    while True:
        start = time.ticks_us()
        next(errand)
        longest = max(longest, time.ticks_diff(time.ticks_us(), start))
        time.sleep_us(500)
except StopIteration:
    say("answered")
except RefusedError as e:
    say(e.detail)
say(longest // 1000)
"""


@pytest.mark.parametrize("sent", ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nabc"])
def test_a11_a_question_while_the_application_runs_never_waits(sent: str) -> None:
    def reply(_: str) -> Iterator[bytes | float]:
        yield sent.encode()
        yield 30.0

    with Server(reply) as server:
        said, longest_ms = micropython(STEPS.replace("hurry(1)", "hurry(40)"), {"base": server.base})

    assert "no answer in time" in said
    assert longest_ms < LONGEST_MS


def test_a9_bytes_after_the_promised_length_are_never_read() -> None:
    def reply(_: str) -> Iterator[bytes]:
        yield HEAD + BODY
        for _number in range(100):
            yield b"more" * 16384

    with Server(reply) as server:
        end, at, _, _ = read(server)

    assert (end, at) == ("whole", SIZE)


LIES = {
    "one more": (ok(BODY + b"x"), "too_large"),
    "one less": (ok(BODY[:-1]), "download_failed"),
    "absent": (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, "download_failed"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "download_failed"),
    "both": (HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + BODY, "download_failed"),
    "gzip": (HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n" + BODY, "download_failed"),
    "two": (HEAD[:-2] + b"Content-Length: 4001\r\n\r\n" + BODY, "download_failed"),
    "negative": (b"HTTP/1.1 200 OK\r\nContent-Length: -4000\r\n\r\n" + BODY, "download_failed"),
    "signed": (b"HTTP/1.1 200 OK\r\nContent-Length: +4000\r\n\r\n" + BODY, "download_failed"),
    "hexadecimal": (b"HTTP/1.1 200 OK\r\nContent-Length: 0xfa0\r\n\r\n" + BODY, "download_failed"),
    "forty digits": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", "too_large"),
    "an endless line": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, "download_failed"),
    "endless lines": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "download_failed"),
    "a part unasked": (ok(BODY, status="206 Partial Content", Content_Range="bytes 0-3999/4000"), "download_failed"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "download_failed"),
    "empty": (b"", "download_failed"),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a9_a_lie_about_the_length_is_refused(lie: str) -> None:
    answer, reason = LIES[lie]

    with Server(once(answer)) as server:
        end, at, _, _ = read(server)

    assert end[0] == reason
    assert at == 0


@pytest.mark.parametrize(
    "span", ["bytes 0-3899/3900", "bytes 99-3999/4000", "bytes 100-3998/4000", "pages 100-3999/4000"]
)
def test_a9_a_part_from_another_byte_is_refused(span: str) -> None:
    def reply(request: str) -> Iterator[bytes]:
        if header(request, "Range"):
            yield ok(BODY[100:], status="206 Partial Content", Content_Range=span)
        else:
            yield (HEAD + BODY)[: len(HEAD) + 100]

    with Server(reply) as server:
        end, at, _, _ = read(server)

    assert end == ["download_failed", "another range"]
    assert at == 100


HEAP = """
import gc
def idle():
    global low
    gc.collect()
    low = min(low, gc.mem_free())
gc.collect()
low = begun = gc.mem_free()
say(download.to_file(device, "/pack", 60000, values["target"], idle))
say(begun - low)
"""


def test_a_download_takes_little_heap(tmp_path: Path) -> None:
    body = BODY * 10

    def reply(request: str) -> Iterator[bytes | float]:
        answer = ranged(body, request)
        for at in range(0, len(answer), 4000):
            yield answer[at : at + 4000]
            yield 0.06

    with Server(reply) as server:
        size, taken = micropython(HEAP, {"base": server.base}, target=str(tmp_path / "pack"))

    assert size == len(body)
    print(f"a download takes {taken} bytes of a heap with words of 64 bits")
    assert taken < 12_000
