"""Source, log and uploads over real HTTP, with a service that goes away and comes back."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator

import pytest

from runners.contract.job import Blob
from runners.errors import TransportError
from runners.recipes.snapshot import MAX_SOURCE_BYTES
from runners.transport import LOG_PATIENCE_S, HttpService, exchange
from tests.integration.runners.service_door import Door

CONTENT = b"source" * 1000


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door(blobs={"/source?sig=1": CONTENT, "/redirect": b""})
    with made.open():
        yield made


def service(*, patience_s: float = 5.0) -> HttpService:
    return HttpService(clock=time.monotonic, sleep=time.sleep, patience_s=patience_s)


def blob(door: Door, content: bytes = CONTENT) -> Blob:
    digest = hashlib.sha256(content).hexdigest()
    return Blob(url=f"{door.address}/source?sig=1", digest=digest, size_bytes=len(content))


def test_a_source_is_fetched(door: Door) -> None:
    assert service().fetch(blob(door)) == CONTENT


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], CONTENT[:-1] + b"!"])
def test_a_source_that_is_not_the_promised_one_is_refused(door: Door, content: bytes) -> None:
    with pytest.raises(TransportError, match=r"longer than|differ"):
        service(patience_s=0).fetch(blob(door, content))


def test_a_source_too_large_is_not_even_asked_for(door: Door) -> None:
    huge = Blob(url=door.address, digest="0" * 64, size_bytes=MAX_SOURCE_BYTES + 1)

    with pytest.raises(TransportError, match="a runner takes"):
        service().fetch(huge)


def test_an_upload_arrives_whole(door: Door) -> None:
    service().upload(f"{door.address}/up?sig=2", CONTENT)

    assert door.uploads == [("/up?sig=2", CONTENT)]


def test_a_service_that_is_restarting_is_waited_for(door: Door) -> None:
    door.statuses = [503, 500, 429]

    service().upload(f"{door.address}/up", b"x")

    assert door.uploads == [("/up", b"x")]


def test_a_service_that_is_away_is_waited_for() -> None:
    door = Door(blobs={"/source?sig=1": CONTENT})
    with door.open():
        pass

    with contextlib.ExitStack() as stack:
        later = threading.Timer(0.5, lambda: stack.enter_context(door.open()))
        later.start()
        fetched = service().fetch(blob(door))
        later.join()

    assert fetched == CONTENT


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 410, 413])
def test_a_no_is_a_no(door: Door, status: int) -> None:
    door.statuses = [status, 200]

    with pytest.raises(TransportError) as caught:
        service().fetch(blob(door))

    assert caught.value.status == status
    assert door.statuses == [200]  # asked once
    assert "sig=1" not in str(caught.value)


def test_patience_ends() -> None:
    with pytest.raises(TransportError, match=r"^PUT http"):
        service(patience_s=0.3).upload("http://127.0.0.1:1/x", b"")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "http://", "/x", "http://h:99999/"])
def test_only_http_addresses_are_asked(url: str) -> None:
    with pytest.raises(TransportError):
        exchange("GET", url, b"", limit=1)


def test_a_log_arrives_live_and_whole(door: Door) -> None:
    with service().log(f"{door.address}/log?sig=3") as log:
        log.write(b"first ")
        deadline = time.monotonic() + 60
        while bytes(door.logs.get("/log", b"")) != b"first " and time.monotonic() < deadline:
            time.sleep(0.01)
        live = bytes(door.logs["/log"])
        log.write(b"second")

    assert live == b"first "
    assert door.logs["/log"] == b"first second"


def test_a_log_goes_on_where_the_service_wants(door: Door) -> None:
    """A runner that resumes a container sends from the start; what is there already is skipped."""
    door.logs["/log"] = bytearray(b"first ")

    with service().log(f"{door.address}/log?sig=3") as log:
        log.write(b"fir")
        time.sleep(0.2)
        log.write(b"st second")

    assert door.logs["/log"] == b"first second"


def test_a_log_survives_a_restart_of_the_service(door: Door) -> None:
    door.statuses = [503] * 3

    with service().log(f"{door.address}/log?sig=3") as log:
        log.write(b"x" * 600_000)

    assert door.logs["/log"] == b"x" * 600_000


@pytest.mark.parametrize("status", [403, 404, 413])
def test_a_log_that_is_refused_does_not_hold_the_build(door: Door, status: int) -> None:
    door.statuses = [status]
    began = time.monotonic()

    with service().log(f"{door.address}/log?sig=3") as log:
        log.write(b"x")

    assert time.monotonic() - began < LOG_PATIENCE_S / 2
    assert "/log" not in door.logs
