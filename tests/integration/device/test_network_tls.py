"""https and the line to the broker over TLS: who the other side is, is verified. A13."""

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.device.authorities import Authority
from tests.integration.device.network import LONGEST_MS, Server, header, micropython, ok, once, ranged
from tests.integration.device.packets import CONNACK, PUBACK, SUBACK, publication

pytestmark = [pytest.mark.enable_socket]

ASK = """
found = tried(lambda: finish(poll.desired(device)))
say(found.decode() if type(found) is bytes else found)
say(lines)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


def asked(base: str, **device: object) -> list[object]:
    """The order that `base` gave, or the refusal; and what was logged."""
    return micropython(ASK, {"base": base, **device})


@contextlib.contextmanager
def secure(context: ssl.SSLContext) -> Iterator[Server]:
    with Server(once(ok(b"an.order.signed")), context=context) as server:
        yield server


def at(host: str, server: Server) -> str:
    return f"https://{host}:{server.port}"


@pytest.mark.parametrize("form", ["path", "pem"])
def test_a_server_that_the_authority_vouches_for_is_asked(authority: Authority, form: str) -> None:
    with secure(authority.context("localhost")) as server:
        found, lines = asked(at("localhost", server), tls={"ca": str(getattr(authority, form))})

    assert (found, lines) == ("an.order.signed", [])
    assert header(server.requests[0], "Authorization") == "Bearer secret-of-d1"


def test_a13_a_certificate_of_another_authority_gets_no_token(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")

    with secure(stranger.context("localhost")) as server:
        found, _ = asked(at("localhost", server), tls={"ca": str(authority.path)})

    assert found == ["download_failed", "localhost: The certificate is not correctly signed by the trusted CA"]
    assert server.requests == []


def test_a13_a_certificate_for_another_name_gets_no_token(authority: Authority) -> None:
    with secure(authority.context("kiln.example")) as server:
        found, _ = asked(at("localhost", server), tls={"ca": str(authority.path)})

    assert found == [
        "download_failed",
        "localhost: The certificate Common Name (CN) does not match with the expected CN",
    ]
    assert server.requests == []


def test_a13_a_certificate_that_ended_gets_no_token(authority: Authority) -> None:
    with secure(authority.context("localhost", days=-2)) as server:
        found, _ = asked(at("localhost", server), tls={"ca": str(authority.path)})

    assert found == ["download_failed", "localhost: The certificate validity has expired"]
    assert server.requests == []


def test_a13_a_hijacked_name_gets_no_token(authority: Authority) -> None:
    """The name resolves to somebody who has a certificate, but not for it."""
    hijack = (
        "real = net.socket\nclass Hijacked:\n    AF_INET = real.AF_INET\n    SOCK_STREAM = real.SOCK_STREAM\n"
        "    socket = real.socket\n"
        "    def getaddrinfo(self, host, *more):\n        return real.getaddrinfo('127.0.0.1', *more)\n"
        "net.socket = Hijacked()\n"
    )
    base = "https://kiln.example"
    with secure(authority.context("attacker.example")) as server:
        found, _ = micropython(hijack + ASK, {"base": f"{base}:{server.port}", "tls": {"ca": str(authority.path)}})
    with secure(authority.context("kiln.example")) as honest:
        reached, _ = micropython(hijack + ASK, {"base": f"{base}:{honest.port}", "tls": {"ca": str(authority.path)}})

    assert found == [
        "download_failed",
        "kiln.example: The certificate Common Name (CN) does not match with the expected CN",
    ]
    assert server.requests == []
    assert reached == "an.order.signed"


def test_a13_a_plain_server_behind_https_is_no_server(authority: Authority) -> None:
    def reply(_: str) -> Iterator[bytes]:
        yield ok(b"an.order.signed")

    with Server(reply, http=False) as server:
        found, _ = asked(f"https://localhost:{server.port}", tls={"ca": str(authority.path)})

    assert isinstance(found, list)
    assert found[0] == "download_failed"


def test_without_an_authority_it_says_that_nobody_is_verified(authority: Authority) -> None:
    with secure(authority.context("localhost")) as server:
        found, lines = asked(at("localhost", server))

    assert found == "an.order.signed"
    assert lines == ["TLS: localhost is not verified, no ca in device.json"]


def test_a13_https_is_never_left_for_http(authority: Authority) -> None:
    with Server(once(ok(b"an.order.signed"))) as plain:
        there = f"127.0.0.1:{plain.port}"
        moved = ok(b"", status="302 Found", Location=f"http://{there}/x")
        with Server(once(moved), context=authority.context("localhost")) as server:
            found, _ = asked(at("localhost", server), tls={"ca": str(authority.path)}, redirects=[there])

    assert found == ["download_failed", f"redirect to http://{there}/x"]
    assert plain.requests == []


def test_a_download_over_tls_that_breaks_is_taken_up(authority: Authority, tmp_path: Path) -> None:
    body = bytes(i * 7 % 251 for i in range(40_000))

    def reply(request: str) -> Iterator[bytes]:
        yield ranged(body, request)[:9_000]

    target = tmp_path / "pack"
    script = "patient()\nsay(tried(lambda: download.to_file(device, '/pack', 50000, values['target'], idle)))"
    with Server(reply, context=authority.context("localhost")) as server:
        device = {"base": at("localhost", server), "tls": {"ca": str(authority.path)}, "stall_s": 100, "slow_s": 900}
        said = micropython(script, device, target=str(target))

    assert said == [len(body)]
    assert target.read_bytes() == body
    assert len(server.requests) == 5


LINE = """
from ota import link
import time
hal.jitter = lambda limit: 0
device["mqtt"] = {"host": "localhost", "port": values["port"], "tls": True}
line = link.Link(device)
heard, longest, begun = None, 0, time.ticks_ms()
while heard is None and len(lines) < values["lines"] and time.ticks_diff(time.ticks_ms(), begun) < values["ms"]:
    start = time.ticks_us()
    heard = line.poll()
    longest = max(longest, time.ticks_diff(time.ticks_us(), start))
    time.sleep_ms(1)
say([heard and heard.decode(), longest // 1000, lines])
"""


def broker(_: str) -> Iterator[bytes | float]:
    yield CONNACK + SUBACK + PUBACK + publication(b"an.order.signed")
    yield 2.0


def test_the_line_to_the_broker_runs_over_tls(authority: Authority) -> None:
    with Server(broker, context=authority.context("localhost"), http=False) as server:
        device = {"base": "", "tls": {"ca": str(authority.path)}}
        [[heard, longest_ms, lines]] = micropython(LINE, device, port=server.port, ms=30_000, lines=9)

    assert (heard, lines) == ("an.order.signed", [])
    assert longest_ms < LONGEST_MS


def test_a13_a_broker_of_another_authority_gets_no_token(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")

    with Server(broker, context=stranger.context("localhost"), http=False) as server:
        device = {"base": "", "tls": {"ca": str(authority.path)}}
        [[heard, _, lines]] = micropython(LINE, device, port=server.port, ms=30_000, lines=2)

    assert heard is None
    assert lines
    assert all("not correctly signed by the trusted CA" in line for line in lines)


def test_a_broker_that_is_silent_below_tls_does_not_hold_the_application_up(authority: Authority) -> None:
    def silent(_: str) -> Iterator[bytes | float]:
        yield 30.0

    with Server(silent, http=False) as server:
        device = {"base": "", "tls": {"ca": str(authority.path)}}
        [[heard, longest_ms, _]] = micropython(LINE, device, port=server.port, ms=1000, lines=9)

    assert heard is None
    assert longest_ms < LONGEST_MS
