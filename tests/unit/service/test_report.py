import json

import pytest

from service.domain.device import DeviceState, Report, device_id
from service.domain.errors import BadInputError, MalformedError


def test_a_report_of_the_protocol_is_read() -> None:
    payload = {"v": 1, "state": "rolled_back", "reason": "import_error", "detail": "main.py:3", "counter": 4, "free": 9}

    report = Report.parse(json.dumps(payload).encode())

    assert report.state is DeviceState.ROLLED_BACK
    assert (report.reason, report.detail, report.counter, report.free) == ("import_error", "main.py:3", 4, 9)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"v":1}',
        b'{"v":1,"state":"great"}',
        b'{"v":2,"state":"idle"}',
        b'{"v":1,"state":"idle","counter":"x"}',
        b'{"v":1,"state":"idle","counter":true}',
        b'{"v":1,"state":"idle","counter":1e400}',
        b'{"v":1,"state":"idle","reason":[]}',
        b'{"v":1,"state":["idle"]}',
        b"\xff",
        b"[" * 1000,
        b" " * 1025,
    ],
)
def test_what_is_no_report_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        Report.parse(payload)


def test_text_of_a_device_is_cut_and_made_printable() -> None:
    payload = json.dumps({"v": 1, "state": "idle", "detail": "\x1b[31m" + "x" * 300}).encode()

    detail = Report.parse(payload).detail

    assert len(detail) == 200
    assert detail.isprintable()


@pytest.mark.parametrize("name", ["", "A", "a/b", "a+", "#", "-a", "a" * 49, "a\n", "ä"])
def test_a_device_id_is_a_safe_topic_level(name: str) -> None:
    with pytest.raises(BadInputError):
        device_id(name)
