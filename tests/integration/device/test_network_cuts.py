"""The line cut at every byte of every kind of answer, and of everything that a broker says."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.device.network import Server, header, micropython, ok, ranged

pytestmark = [pytest.mark.enable_socket]

PATIENT = {"stall_s": 100, "slow_s": 30_000}
BODY = bytes(i * 7 % 251 for i in range(300))
NOTHING = b"HTTP/1.1 204 No Content\r\nServer: test\r\n\r\n"
ANSWERS: dict[str, tuple[str, bytes, Any]] = {
    "desired": ("poll.desired(device)", ok(b"a.desired.state", Server="test"), "a.desired.state"),
    "no desired": ("poll.desired(device)", NOTHING, None),
    "time": ("poll.time(device, 'ab' * 16)", ok(b"some.time.jws"), "some.time.jws"),
    "config": ("poll.config(device, 'c' * 64)", ok(b"KILNC0\n{}" + bytes(range(65, 90)) * 9), None),
    "root": ("poll.root(device, 2)", ok(b"KILNR1\n" + b"x" * 200), "KILNR1\n" + "x" * 200),
    "no root": ("poll.root(device, 2)", ok(b"no\n", status="404 Not Found"), None),
    "report": ("poll.report(device, '{}')", NOTHING, True),
    "claim": ("only_200(poll.fetch(device, '/api/v1/claim', 6144, b'{}', False))", ok(b"KILNA1\n" + b"y" * 80), None),
}
QUESTION = """
patient()
def only_200(errand):
    status, raw = yield from errand
    return raw if status == 200 else status
for cut in range(values["cuts"]):
    lines.clear()
    device["base"] = values["cut"] + "/%d" % cut
    device["recovery"] = None
    alone = tried(lambda: finish(QUESTION))
    device["recovery"] = values["whole"]
    found = tried(lambda: finish(QUESTION))
    plain = [x.decode() if type(x) is bytes else x for x in (alone, found)]
    say(plain)
"""


def cut_of(request: str) -> int:
    """The number of bytes that an address begins with."""
    return int(request.split("/")[1].split("?", maxsplit=1)[0])


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_a_small_answer_cut_anywhere_is_no_answer_and_the_recovery_base_gives_it(kind: str) -> None:
    question, answer, expected = ANSWERS[kind]
    bodiless = kind in ("no desired", "report", "no root")
    head = answer.index(b"\r\n\r\n") + 4
    cuts = head if bodiless else len(answer)
    if kind in ("config", "claim"):
        expected = answer[head:].decode()
    elif kind == "no root":
        expected = None

    with (
        Server(lambda request: [answer[: cut_of(request)]]) as cutting,
        Server(lambda _: [answer]) as whole,
    ):
        bases: dict[str, Any] = {"cut": cutting.base, "whole": whole.base, "base": cutting.base}
        script = QUESTION.replace("QUESTION", question)
        said = micropython(script, PATIENT, cuts=cuts, **bases)

    assert len(said) == cuts
    assert {alone[0] for alone, _ in said} == {"download_failed"}
    assert [found for _, found in said] == [expected] * cuts


def cut_once(whole: Callable[[str], bytes]) -> Callable[[str], Iterator[bytes]]:
    """The first request of each address is cut after as many bytes as it says, the others are answered."""
    seen: Counter[str] = Counter()

    def reply(request: str) -> Iterator[bytes]:
        path = request.split(" ")[1]
        seen[path] += 1
        answer = whole(request)
        yield answer[: cut_of(request)] if seen[path] == 1 else answer

    return reply


SOURCE = """
patient()
view = memoryview(bytearray(64))
for cut in range(values["cuts"]):
    source = download.Source(device, "/%d/bundle" % cut, values["size"], idle)
    got = b""
    while True:
        n = source.readinto(view)
        if not n:
            break
        got += view[:n]
    source.close()
    say([sum(got), len(got)])
"""


@pytest.mark.parametrize("resumes", [True, False])
def test_a_bundle_cut_at_any_byte_is_read_whole(resumes: bool) -> None:
    def whole(request: str) -> bytes:
        return ranged(BODY, request) if resumes else ok(BODY)

    cuts = len(ok(BODY))

    with Server(cut_once(whole)) as server:
        said = micropython(SOURCE, {"base": server.base, **PATIENT}, cuts=cuts, size=len(BODY))

    assert said == [[sum(BODY), len(BODY)]] * cuts
    assert len(server.requests) == 2 * cuts
    spans = {header(request, "Range") for request in server.requests}
    assert spans == {"", *[f"bytes={at}-" for at in range(1, len(BODY))]}


FILES = """
patient()
import os
for cut in range(values["cuts"]):
    target = values["folder"] + "/%d" % cut
    if values["have"]:
        with open(target, "wb") as f:
            f.write(bytes(i * 7 % 251 for i in range(values["have"])))
    size = download.to_file(device, "/%d/pack" % cut, 5000, target, idle)
    with open(target, "rb") as f:
        got = f.read()
    say([size, sum(got), len(got)])
"""


@pytest.mark.parametrize("have", [0, 150, 300])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_file_cut_at_any_byte_becomes_whole(have: int, resumes: bool, tmp_path: Path) -> None:
    def whole(request: str) -> bytes:
        return ranged(BODY, request) if resumes else ok(BODY)

    cuts = len(whole(f"GET / HTTP/1.1\r\nRange: bytes={have}-\r\n\r\n" if have else ""))

    with Server(cut_once(whole)) as server:
        base = {"base": server.base, **PATIENT}
        said = micropython(FILES, base, cuts=cuts, folder=str(tmp_path), have=have)

    assert said == [[len(BODY), sum(BODY), len(BODY)]] * cuts
    assert all((tmp_path / str(cut)).read_bytes() == BODY for cut in range(cuts))


def test_a_redirect_cut_at_any_byte_is_followed_when_it_is_whole() -> None:
    target = ok(BODY)

    def whole(request: str) -> bytes:
        if request.split(" ")[1].endswith("/there"):
            return ranged(BODY, request)
        return ok(b"", status="302 Found", Location=request.split(" ")[1] + "/there")

    cuts = len(ok(b"", status="302 Found", Location="/000/bundle/there"))
    with Server(cut_once(whole)) as server:
        said = micropython(SOURCE, {"base": server.base, **PATIENT}, cuts=cuts, size=len(BODY))

    assert len(target) > cuts
    assert said == [[sum(BODY), len(BODY)]] * cuts
