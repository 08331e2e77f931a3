"""A download into a file, taken up where it broke: in a moment, after a restart, after a power cut."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.device.network import Server, file_of, header, micropython, ok, once, ranged

pytestmark = [pytest.mark.enable_socket]

BODY = bytes(i * 7 % 251 for i in range(10_000))
FETCH = """
patient()
say(tried(lambda: download.to_file(device, "/pack", values.get("limit", 20000), values["target"], idle)))
"""


@pytest.mark.parametrize("have", [0, 1, 511, 512, 4095, 4096, 4097, 9_999, 10_000])
def test_only_what_is_missing_is_fetched(have: int, tmp_path: Path) -> None:
    target = tmp_path / "pack"
    target.write_bytes(BODY[:have])

    with Server(lambda request: [ranged(BODY, request)]) as server:
        said = micropython(FETCH, {"base": server.base}, target=str(target))

    assert said == [len(BODY)]
    assert file_of(target) == BODY
    assert [header(request, "Range") for request in server.requests] == [f"bytes={have}-" if have else ""]


def test_a_server_that_does_not_resume_starts_the_file_anew(tmp_path: Path) -> None:
    target = tmp_path / "pack"
    target.write_bytes(b"another file's bytes" * 300)

    with Server(once(ok(BODY))) as server:
        said = micropython(FETCH, {"base": server.base}, target=str(target))

    assert said == [len(BODY)]
    assert file_of(target) == BODY


@pytest.mark.parametrize("have", [20_000, 20_001, 30_000])
def test_a_file_longer_than_what_is_served_starts_anew(have: int, tmp_path: Path) -> None:
    target = tmp_path / "pack"
    target.write_bytes(bytes(have))

    with Server(lambda request: [ranged(BODY, request)]) as server:
        said = micropython(FETCH, {"base": server.base}, target=str(target))

    assert said == [len(BODY)]
    assert file_of(target) == BODY


def test_where_there_is_none_the_file_stays_empty(tmp_path: Path) -> None:
    with Server(once(ok(b"no\n", status="404 Not Found"))) as server:
        said = micropython(FETCH, {"base": server.base}, target=str(tmp_path / "pack"))

    assert said == [["no_pack", ""]]
    assert file_of(tmp_path / "pack") == b""


def test_more_than_the_limit_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    with Server(once(ok(BODY))) as server:
        said = micropython(FETCH, {"base": server.base}, target=str(tmp_path / "pack"), limit=9_999)

    assert said == [["too_large", "10000 bytes, at most 9999"]]
    assert file_of(tmp_path / "pack") == b""


def test_a_line_that_breaks_again_and_again_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    def reply(request: str) -> Iterator[bytes]:
        answer = ranged(BODY, request)
        yield answer[: answer.index(b"\r\n\r\n") + 4 + 1_500]

    with Server(reply) as server:
        said = micropython(FETCH, {"base": server.base}, target=str(tmp_path / "pack"))

    assert said == [len(BODY)]
    assert file_of(tmp_path / "pack") == BODY
    spans = [header(request, "Range") for request in server.requests]
    assert spans == ["", *[f"bytes={at}-" for at in range(1_500, 10_000, 1_500)]]
