"""What only the local folder's own routes promise, over a real server."""

import http.client
import pathlib
import socket
import urllib.parse
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from service.adapters.clock import SystemClock
from service.adapters.objects_local import LocalObjects
from service.domain.errors import BadInputError
from service.web.objects import object_routes
from tests.servers import free_port, http_server

KEY = b"k" * 32
CONTENT = bytes(range(256)) * 40
Answer = tuple[int, http.client.HTTPMessage, bytes]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalObjects]:
    port = free_port()
    folder = tmp_path_factory.mktemp("objects")
    made = LocalObjects(folder, base_url=f"http://127.0.0.1:{port}/", key=KEY, clock=SystemClock())
    with http_server(Starlette(routes=object_routes(made, lambda _key: None)), port):
        yield made


def ask(url: str, method: str = "GET", body: bytes | Iterator[bytes] | None = None, **headers: str) -> Answer:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=names)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_tag_is_the_digest_and_saves_a_download(objects: LocalObjects) -> None:
    stored = objects.put([CONTENT])
    url = objects.fetch_url(stored.digest, expires_s=60)

    _, headers, _ = ask(url)
    status, _, body = ask(url, If_None_Match=f'W/"other", "{stored.digest}"')

    assert headers["etag"] == f'"{stored.digest}"'
    assert (status, body) == (304, b"")


def test_a_range_of_another_version_gives_all(objects: LocalObjects) -> None:
    url = objects.fetch_url(objects.put([CONTENT]).digest, expires_s=60)

    status, _, body = ask(url, Range="bytes=5-", If_Range='"other"')

    assert (status, body) == (200, CONTENT)


@pytest.mark.parametrize("header", ["bytes=5-1", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=٣-"])
def test_a_range_that_is_not_one_plain_range_is_ignored(objects: LocalObjects, header: str) -> None:
    url = objects.fetch_url(objects.put([CONTENT]).digest, expires_s=60)

    status, _, body = ask(url, Range=header.encode().decode("latin-1"))

    assert (status, body) == (200, CONTENT)


def test_head_has_the_length_and_no_body(objects: LocalObjects) -> None:
    status, headers, body = ask(objects.fetch_url(objects.put([CONTENT]).digest, expires_s=60), "HEAD")

    assert (status, headers["content-length"], body) == (200, str(len(CONTENT)), b"")


def test_a_name_is_signed_and_cannot_break_the_header(objects: LocalObjects) -> None:
    url = objects.fetch_url(
        objects.put([CONTENT]).digest, expires_s=60, name='kiln "1"\r\nX: y\N{CYRILLIC SMALL LETTER BE}.uf2'
    )

    status, headers, _ = ask(url)

    assert status == 200
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''kiln%20%221%22%0D%0AX%3A%20y%D0%B1.uf2"
    assert ask(url.replace("kiln", "evil"))[0] == 403
    assert "x" not in headers


@pytest.mark.parametrize(
    "change", ["&expires=9999999999", "&x=1", "&name=x", "&signature=0", "&signature=%C3%A9", "&expires=1"]
)
def test_no_parameter_can_be_added(objects: LocalObjects, change: str) -> None:
    url = objects.fetch_url(objects.put([CONTENT]).digest, expires_s=60)

    status, _, body = ask(url + change)

    assert status == 403
    assert body.endswith(b"\n")


GARBAGE = ["", "signature=", "signature=%00&expires=1", "expires=x&signature=%FF", "&&&=&=;", "signature=é"]


@pytest.mark.parametrize("query", GARBAGE)
def test_garbage_is_403_and_never_500(objects: LocalObjects, query: str) -> None:
    base = objects.fetch_url(objects.put([CONTENT]).digest, expires_s=60).partition("?")[0]

    assert ask(f"{base}?{urllib.parse.quote(query, safe='&=%;')}")[0] == 403
    assert (
        ask(f"{base.replace('objects', 'staging')}/x?{urllib.parse.quote(query, safe='&=%;')}", "PUT", b"x")[0] == 403
    )


def test_a_limit_cannot_be_raised(objects: LocalObjects) -> None:
    url = objects.upload_url("job/files", max_bytes=10, expires_s=60)

    assert ask(url.replace("max=10", "max=1000"), "PUT", b"x" * 100)[0] == 403


def test_the_limit_holds_while_streaming_without_a_length(objects: LocalObjects) -> None:
    url = objects.upload_url("chunked/files", max_bytes=1000, expires_s=60)

    status, _, body = ask(url, "PUT", iter([b"x" * 600, b"y" * 600]))

    assert status == 413
    assert body == b"more than the 1000 bytes that this address takes\n"


def test_exactly_the_limit_is_taken(objects: LocalObjects) -> None:
    assert ask(objects.upload_url("limit/files", max_bytes=1000, expires_s=60), "PUT", b"x" * 1000)[0] == 200


def test_an_upload_that_breaks_off_leaves_nothing(
    objects: LocalObjects, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = urllib.parse.urlsplit(objects.upload_url("broken/files", max_bytes=10_000_000, expires_s=60))
    assert url.hostname is not None
    with socket.create_connection((url.hostname, url.port or 80)) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 1_000_000)
    status, _, _ = ask(objects.upload_url("whole/files", max_bytes=10, expires_s=60), "PUT", b"x")

    assert status == 200
    assert [path.name for path in objects._staging.glob("broken/*")] == []


def test_a_short_key_is_refused_at_the_start(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadInputError, match="32"):
        LocalObjects(tmp_path, base_url="http://x", key=b"short", clock=SystemClock())
