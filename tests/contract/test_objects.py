"""One suite for both object stores: the folder behind its own routes, and a real S3 server."""

import contextlib
import datetime
import hashlib
import http.client
import itertools
import pathlib
import random
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette

from service.adapters.clock import SystemClock
from service.adapters.objects_local import LocalObjects
from service.adapters.objects_s3 import S3Objects
from service.domain.errors import BadInputError, MalformedError, NotFoundError, ObjectsError
from service.ports import Objects
from service.web.objects import object_routes
from tests.servers import free_port, http_server, s3_server

KEY = b"k" * 32
ABSENT = "0" * 64


@dataclass(frozen=True, slots=True)
class Store:
    objects: Objects
    stranger: Objects  # signs with another key
    late: Callable[[str], None]  # makes this address an old one
    files: pathlib.Path  # everything that the store keeps is a file below it
    is_local: bool
    refused: frozenset[int]  # the statuses of an address that is too old or not well signed


class SetClock:
    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def now(self) -> datetime.datetime:
        return SystemClock().now() + self.ahead


@contextlib.contextmanager
def local_store(folder: pathlib.Path) -> Iterator[Store]:
    port, clock = free_port(), SetClock()
    url = f"http://127.0.0.1:{port}"
    objects = LocalObjects(folder / "kept", base_url=url, key=KEY, clock=clock)
    stranger = LocalObjects(folder / "elsewhere", base_url=url, key=b"x" * 32, clock=clock)

    def late(_: str) -> None:
        clock.ahead += datetime.timedelta(seconds=61)

    with http_server(Starlette(routes=object_routes(objects)), port):
        yield Store(objects, stranger, late, folder / "kept", is_local=True, refused=frozenset({403}))


@contextlib.contextmanager
def s3_store(folder: pathlib.Path) -> Iterator[Store]:
    with s3_server(folder) as server:
        of = {"endpoint": server.endpoint, "bucket": server.bucket}
        objects = S3Objects(**of, key=server.key, secret=server.secret)
        stranger = S3Objects(**of, key=server.key, secret="another secret")

        def late(_: str) -> None:
            threading.Event().wait(2.1)  # a foreign server has its own clock: the tests ask for one second

        yield Store(objects, stranger, late, server.folder, is_local=False, refused=frozenset({400, 403}))


@pytest.fixture(scope="module", params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp(request.param)
    with (local_store if request.param == "local" else s3_store)(folder) as made:
        yield made


@pytest.fixture
def objects(store: Store) -> Objects:
    return store.objects


_seed = itertools.count()


def some_bytes(size: int = 100_000) -> bytes:
    return random.Random(next(_seed)).randbytes(size)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, method: str = "GET", body: bytes | Iterator[bytes] | None = None, **headers: str) -> Answer:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=names)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


# -- objects


def test_what_is_put_is_read_again_under_its_digest(objects: Objects) -> None:
    content = some_bytes(3 << 20)

    stored = objects.put([content[:7], content[7:2_000_000], b"", content[2_000_000:]])

    assert (stored.digest, stored.size_bytes) == (digest_of(content), len(content))
    assert objects.size(stored.digest) == len(content)
    chunks = list(objects.read(stored.digest))
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= 1 << 20


def test_an_object_may_be_empty(objects: Objects) -> None:
    stored = objects.put([])

    assert (stored.digest, stored.size_bytes) == (digest_of(b""), 0)
    assert list(objects.read(stored.digest)) == []
    assert ask(objects.fetch_url(stored.digest, expires_s=60)).body == b""


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 10), (5, None), (99_999, None), (100_000, None), (7, 7), (9, 3), (90_000, 200_000)]
)
def test_a_part_is_read(objects: Objects, start: int, stop: int | None) -> None:
    content = some_bytes()
    stored = objects.put([content])

    assert b"".join(objects.read(stored.digest, start=start, stop=stop)) == content[start:stop]


def test_equal_bytes_are_kept_once(objects: Objects, store: Store) -> None:
    content = some_bytes()

    assert objects.put([content]) == objects.put([content])

    assert [path.read_bytes() for path in store.files.rglob(digest_of(content)[2:])] == [content]


@pytest.mark.parametrize("digest", [ABSENT, "", "../../etc/passwd", "A" * 64, "ab/../" + "0" * 58])
def test_what_is_not_there_is_not_found_at_the_call(objects: Objects, digest: str) -> None:
    with pytest.raises(NotFoundError):
        objects.size(digest)
    with pytest.raises(NotFoundError):
        objects.read(digest)


class ForgeBrokeError(Exception):
    pass


def test_a_put_that_breaks_off_leaves_no_object_and_keeps_its_error(objects: Objects, store: Store) -> None:
    content = some_bytes()

    def breaking() -> Iterator[bytes]:
        yield content
        raise ForgeBrokeError

    before = sorted(store.files.rglob("*"))
    with pytest.raises(ForgeBrokeError):
        objects.put(breaking())

    assert sorted(store.files.rglob("*")) == before


# -- fetch addresses


def test_an_address_gives_the_object_to_whoever_has_it(objects: Objects) -> None:
    content = some_bytes()
    stored = objects.put([content])

    answer = ask(objects.fetch_url(stored.digest, expires_s=60))

    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"] == "attachment"
    assert "transfer-encoding" not in answer.headers


RANGES = [("0-0", slice(0, 1)), ("99000-", slice(99_000, None)), ("-5", slice(-5, None)), ("10-19", slice(10, 20))]


@pytest.mark.parametrize(("header", "part"), RANGES)
def test_an_address_gives_a_range(objects: Objects, store: Store, header: str, part: slice) -> None:
    content = some_bytes()
    stored = objects.put([content])

    answer = ask(objects.fetch_url(stored.digest, expires_s=60), Range=f"bytes={header}")

    assert answer.body == content[part]
    assert answer.status == 206 or not store.is_local  # rclone gives the part and its place, but says 200
    start, stop, _ = part.indices(len(content))
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(stop - start)


def test_a_range_behind_the_end_is_416(objects: Objects) -> None:
    stored = objects.put([some_bytes()])

    assert ask(objects.fetch_url(stored.digest, expires_s=60), Range="bytes=100000-").status == 416


def test_an_address_expires(objects: Objects, store: Store) -> None:
    stored = objects.put([some_bytes()])
    url = objects.fetch_url(stored.digest, expires_s=1)

    store.late(url)

    assert ask(url).status in store.refused
    assert ask(objects.fetch_url(stored.digest, expires_s=60)).status == 200


def test_an_address_signed_with_another_key_is_refused(objects: Objects, store: Store) -> None:
    stored = objects.put([some_bytes()])

    assert ask(store.stranger.fetch_url(stored.digest, expires_s=60)).status == 403


def test_the_signature_of_one_object_does_not_open_another(objects: Objects) -> None:
    mine, other = objects.put([some_bytes()]), objects.put([some_bytes()])
    url = objects.fetch_url(mine.digest, expires_s=60)

    swapped = url.replace(mine.digest, other.digest)
    swapped = swapped.replace(f"{mine.digest[:2]}/{mine.digest[2:]}", f"{other.digest[:2]}/{other.digest[2:]}")
    assert swapped != url
    assert ask(swapped).status == 403
    assert ask(url, "PUT", b"mine").status in (403, 405)


def test_without_a_signature_nothing_is_given(objects: Objects, store: Store) -> None:
    stored = objects.put([some_bytes()])

    assert ask(objects.fetch_url(stored.digest, expires_s=60).partition("?")[0]).status in store.refused


def test_an_address_of_what_is_not_there_is_404(objects: Objects) -> None:
    assert ask(objects.fetch_url(ABSENT, expires_s=60)).status == 404


# -- uploads


def uploaded(objects: Objects, key: str, content: bytes, *, max_bytes: int = 1 << 30) -> Answer:
    return ask(objects.upload_url(key, max_bytes=max_bytes, expires_s=60), "PUT", content)


def test_an_upload_is_adopted(objects: Objects) -> None:
    content = some_bytes(9 << 20)

    assert uploaded(objects, "job-1/files", content).status == 200
    with pytest.raises(NotFoundError):
        objects.size(digest_of(content))
    stored = objects.adopt("job-1/files", digest=digest_of(content), size_bytes=len(content))

    assert b"".join(objects.read(stored.digest)) == content


def test_adopting_is_safe_to_repeat(objects: Objects) -> None:
    content = some_bytes()
    uploaded(objects, "job-2/files", content)

    first = objects.adopt("job-2/files", digest=digest_of(content), size_bytes=len(content))

    assert objects.adopt("job-2/files", digest=digest_of(content), size_bytes=len(content)) == first


def test_the_last_of_two_uploads_counts(objects: Objects) -> None:
    content = some_bytes()
    uploaded(objects, "job-3/files", some_bytes())
    uploaded(objects, "job-3/files", content)

    objects.adopt("job-3/files", digest=digest_of(content), size_bytes=len(content))

    assert objects.size(digest_of(content)) == len(content)


def test_other_bytes_than_announced_are_not_adopted(objects: Objects) -> None:
    content = some_bytes()
    uploaded(objects, "job-4/files", content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(BadInputError, match="digest"):
        objects.adopt("job-4/files", digest=digest_of(content), size_bytes=len(content))
    with pytest.raises(NotFoundError):
        objects.size(digest_of(content))


@pytest.mark.parametrize("wrong", [-1, 1])
def test_another_size_than_announced_is_not_adopted(objects: Objects, wrong: int) -> None:
    content = some_bytes()
    uploaded(objects, "job-5/files", content)

    with pytest.raises(BadInputError, match="bytes"):
        objects.adopt("job-5/files", digest=digest_of(content), size_bytes=len(content) + wrong)


def test_more_than_the_limit_never_becomes_an_object(objects: Objects, store: Store) -> None:
    content = some_bytes()

    answer = uploaded(objects, "job-6/files", content, max_bytes=1000)

    if store.is_local:  # S3 cannot bind a limit into a signed PUT
        assert answer.status == 413
    with pytest.raises((BadInputError, NotFoundError)):
        objects.adopt("job-6/files", digest=digest_of(content[:1000]), size_bytes=1000)


def test_an_upload_address_takes_its_own_key_only(objects: Objects) -> None:
    url = objects.upload_url("job-7/files", max_bytes=100, expires_s=60)

    assert ask(url.replace("job-7", "job-8"), "PUT", b"for another").status == 403
    assert ask(url.replace("files", "../x/files"), "PUT", b"elsewhere").status in (400, 403, 404)
    with pytest.raises(NotFoundError):
        objects.adopt("job-8/files", digest=digest_of(b"for another"), size_bytes=11)


def test_an_upload_address_does_not_read(objects: Objects) -> None:
    url = objects.upload_url("job-9/files", max_bytes=100, expires_s=60)
    ask(url, "PUT", b"mine")

    assert ask(url).status in (403, 405)


def test_an_upload_address_expires(objects: Objects, store: Store) -> None:
    url = objects.upload_url("job-10/files", max_bytes=100, expires_s=1)

    store.late(url)

    assert ask(url, "PUT", b"late").status in store.refused


def test_an_upload_with_another_key_is_refused(store: Store) -> None:
    url = store.stranger.upload_url("job-11/files", max_bytes=100, expires_s=60)

    assert ask(url, "PUT", b"forged").status == 403


@pytest.mark.parametrize(
    "key", ["one", "../x", "a/..", "a/../b", "a/b/c/d", "A/b", "a//b", "/a/b", "a/b ", "a/b\n", ""]
)
def test_a_key_that_is_not_plain_is_refused(objects: Objects, key: str) -> None:
    with pytest.raises(MalformedError):
        objects.upload_url(key, max_bytes=1, expires_s=60)
    with pytest.raises(MalformedError):
        objects.adopt(key, digest=ABSENT, size_bytes=1)


# -- the process dies


def test_a_killed_put_leaves_no_object(tmp_path: pathlib.Path, store: Store) -> None:
    if not store.is_local:
        pytest.skip("one request to S3 is whole or not at all; nothing of it is in our hands")
    code = f"""
import pathlib
from service.adapters.clock import SystemClock
from service.adapters.objects_local import LocalObjects
def endless():
    while True:
        yield b"x" * 65536
        print("wrote", flush=True)
LocalObjects(pathlib.Path({str(tmp_path)!r}), base_url="http://x", key=b"k" * 32, clock=SystemClock()).put(endless())
"""
    root = pathlib.Path(__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    assert child.stdout is not None
    with child.stdout:
        for _ in range(50):
            assert child.stdout.readline() == b"wrote\n"
        child.kill()
        child.wait()

    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    later = SetClock()
    later.ahead = datetime.timedelta(days=2)
    LocalObjects(tmp_path, base_url="http://x", key=KEY, clock=later)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_store_that_is_gone_is_an_objects_error(tmp_path: pathlib.Path) -> None:
    nobody = S3Objects(endpoint=f"http://127.0.0.1:{free_port()}", bucket="kiln", key="k", secret="s")

    with pytest.raises(ObjectsError):
        nobody.put([b"lost"])
    with pytest.raises(ObjectsError):
        nobody.size(ABSENT)


def test_a_bucket_that_is_not_there_is_an_objects_error(tmp_path: pathlib.Path) -> None:
    with s3_server(tmp_path) as server:
        objects = S3Objects(endpoint=server.endpoint, bucket="other", key=server.key, secret=server.secret)
        with pytest.raises(ObjectsError, match="NoSuchBucket"):
            objects.put([b"lost"])
