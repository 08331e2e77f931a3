"""One suite for both object stores: the folder behind its own routes, and a real S3 server."""

import datetime
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.adapters.objects_local import LocalObjects
from service.adapters.objects_s3 import S3Objects
from service.domain.errors import NotFoundError, ObjectsError
from service.ports import Objects
from tests.contract.object_stores import ABSENT, KEY, SetClock, Store, ask, digest_of, some_bytes
from tests.servers import free_port, s3_server

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
