"""Servers that send a device elsewhere. A13."""

import pytest

from tests.integration.device.network import Server, micropython, ok, once

pytestmark = [pytest.mark.enable_socket]

ASK = """
found = tried(lambda: finish(poll.desired(device)))
say(found.decode() if type(found) is bytes else found)
"""
ORDER = "an.order.signed"


def moved(location: str, status: str = "302 Found") -> bytes:
    return ok(b"", status=status, Location=location)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a13_a_redirect_to_a_listed_host_is_followed_without_the_token(status: str) -> None:
    with Server(once(ok(ORDER.encode()))) as there:
        # Another name for the same machine: what counts is what the address says.
        place = f"localhost:{there.port}"
        with Server(once(moved(f"http://{place}/mirror", status))) as server:
            [found] = micropython(ASK, {"base": server.base, "redirects": [place]})

    assert found == ORDER
    assert there.requests[0].startswith("GET /mirror HTTP/1.1")
    assert "Authorization" in server.requests[0]
    assert "Authorization" not in there.requests[0]
    assert "X-Kiln-Device" not in there.requests[0]


@pytest.mark.parametrize(
    "location",
    [
        "http://attacker:80/x",
        "http://attacker@127.0.0.1:1/",
        "//attacker/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_a13_a_redirect_elsewhere_is_refused(location: str) -> None:
    with Server(once(moved(location))) as server:
        [found] = micropython(ASK, {"base": server.base, "redirects": ["mirror.example:443"]})

    assert found[0] == "download_failed"
    assert len(server.requests) == 1


def test_a13_an_attacker_on_the_same_machine_hears_nothing() -> None:
    with Server(once(ok(ORDER.encode()))) as attacker, Server(once(moved(attacker.base + "/x"))) as server:
        [found] = micropython(ASK, {"base": server.base})

    assert found == ["download_failed", f"redirect to {attacker.base}/x"]
    assert attacker.requests == []


def test_a13_a_loop_of_redirects_ends() -> None:
    with Server(lambda request: [moved(request.split(" ")[1] + "/x")]) as server:
        [found] = micropython(ASK, {"base": server.base})

    assert found == ["download_failed", "too many redirects"]
    assert len(server.requests) == 4


def test_a13_a_report_is_not_led_to_become_a_question() -> None:
    script = "say(tried(lambda: finish(poll.report(device, '{}'))))"
    with Server(lambda request: [ok(b"") if "/x " in request else moved("/x")]) as server:
        [found] = micropython(script, {"base": server.base})
    with Server(lambda request: [ok(b"") if "/x " in request else moved("/x", "307 Moved")]) as server:
        [kept] = micropython(script, {"base": server.base})

    assert found == ["download_failed", "a redirect that drops the body"]
    assert kept is True
    assert server.requests[1].startswith("POST /x")
