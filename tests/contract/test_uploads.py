"""One suite for both object stores: uploads, and what becomes of them."""

import pytest

from service.domain.errors import BadInputError, MalformedError, NotFoundError
from service.ports import Objects
from tests.contract.object_stores import ABSENT, Answer, Store, ask, digest_of, some_bytes

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
