"""Small answers over HTTP: what a device asks its service (ota/poll.py, ota/http.py)."""

import pytest

from tests.integration.device.network import Server, header, micropython, ok, once

pytestmark = [pytest.mark.enable_socket]

ALL = """
say(finish(poll.desired(device)).decode())
say(finish(poll.time(device, "ab" * 16)).decode())
say(finish(poll.config(device, "c" * 64)).decode())
say(finish(poll.root(device, 2)).decode())
say(finish(poll.report(device, '{"v":1}')))
"""


def test_every_question_goes_to_its_address_and_says_who_asks() -> None:
    with Server(lambda request: [ok(request.split(" ")[1].encode()) if "GET" in request else ok(b"")]) as server:
        paths = micropython(ALL, {"base": server.base + "/kiln/"})

    own = "/kiln/ota/v1/devices/d1/"
    config, time = own + "config/" + "c" * 64, own + "time?nonce=" + "ab" * 16
    assert paths == [own + "desired", time, config, "/kiln/ota/v1/roots/2", True]
    tokens = [header(request, "Authorization") for request in server.requests]
    assert tokens == ["Bearer secret-of-d1"] * 3 + ["", "Bearer secret-of-d1"]
    names = [header(request, "X-Kiln-Device") for request in server.requests]
    assert names == ["d1", "d1", "d1", "", "d1"]
    assert server.requests[4].startswith(f"POST {own}report HTTP/1.1")
    assert server.requests[4].endswith('\r\n\r\n{"v":1}')


def test_there_may_be_no_desired_state_and_no_next_root_document() -> None:
    script = "say(finish(poll.desired(device)))\nsay(finish(poll.root(device, 2)))"
    nothing = {"desired": b"HTTP/1.1 204 No Content\r\n\r\n", "roots": ok(b"no\n", status="404 Not Found")}

    with Server(lambda request: [nothing["roots" if "/roots/" in request else "desired"]]) as server:
        said = micropython(script, {"base": server.base})

    assert said == [None, None]


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "500 Oops", "503 Busy"])
def test_a_question_that_is_turned_down_says_with_which_status(status: str) -> None:
    with Server(once(ok(b"no\n", status=status))) as server:
        said = micropython("say(tried(lambda: finish(poll.desired(device))))", {"base": server.base})

    assert said == [["download_failed", "HTTP " + status[:3]]]
