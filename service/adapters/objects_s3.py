"""Object storage in any S3: `objects/ab/cdef...` are objects, `staging/<key>` is what was uploaded and not adopted."""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO
from urllib.parse import quote

import boto3
import botocore.client
import botocore.exceptions
from botocore.response import StreamingBody

from service.adapters.objects_local import check_key
from service.domain.errors import BadInputError, NotFoundError, ObjectsError
from service.ports import Stored

CHUNK_BYTES = 1 << 20
IN_MEMORY_BYTES = 8 << 20  # larger objects wait in a temporary file until their digest is known
TIMEOUT_S = 20.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_FAILURES = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError)


def _code(error: BaseException | None) -> str:
    return error.response["Error"].get("Code", "") if isinstance(error, botocore.exceptions.ClientError) else ""


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        if _code(error) in _MISSING:
            raise NotFoundError(f"nothing there while {doing}") from error
        raise ObjectsError(f"S3 failed while {doing}: {_code(error) or type(error).__name__}") from error


class S3Objects:
    """`service.ports.Objects` in one bucket, which must exist."""

    def __init__(self, *, endpoint: str, bucket: str, key: str, secret: str, region: str = "us-east-1") -> None:
        """`endpoint` is part of the signed addresses, so runners and browsers must reach it under this name too."""
        self._bucket = bucket
        config = botocore.client.Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},  # no wildcard DNS needed
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            retries={"max_attempts": 3, "mode": "standard"},
            # Newer checksums are not understood by every S3; digests are ours to check anyway.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=region,
            config=config,
        )

    def put(self, chunks: Iterable[bytes]) -> Stored:
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
            stored = _spool(chunks, file)
            self._keep(file, stored)
        return stored

    def size(self, digest: str) -> int:
        with _translated(f"looking for the object {digest}"):
            return self._client.head_object(Bucket=self._bucket, Key=_path(digest))["ContentLength"]

    def read(self, digest: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        if start >= (size := self.size(digest)) or (stop is not None and stop <= start):
            return iter(())  # S3 has no empty range
        last = (size if stop is None else min(stop, size)) - 1
        with _translated(f"reading the object {digest}"):
            answer = self._client.get_object(Bucket=self._bucket, Key=_path(digest), Range=f"bytes={start}-{last}")
        return _chunks(answer["Body"], last + 1 - start)

    def fetch_url(self, digest: str, *, expires_s: int, name: str = "") -> str:
        """`name`, when given, is what a browser saves it as."""
        saved_as = f"; filename*=UTF-8''{quote(name, safe='')}" if name else ""
        parameters = {
            "Bucket": self._bucket,
            "Key": _path(digest),
            "ResponseContentDisposition": f"attachment{saved_as}",
        }
        return self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=expires_s)

    def upload_url(self, key: str, *, max_bytes: int, expires_s: int) -> str:
        """S3 cannot bind a largest size into a signed PUT: `adopt` refuses what is larger than announced."""
        parameters = {"Bucket": self._bucket, "Key": _staged(key)}
        return self._client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=expires_s)

    def adopt(self, key: str, *, digest: str, size_bytes: int) -> Stored:
        try:
            with _translated(f"looking for the upload {key}"):
                body = self._client.get_object(Bucket=self._bucket, Key=_staged(key))["Body"]
        except NotFoundError:
            return self._adopted_before(key, digest)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
            found = _spool(_bounded(body, key, size_bytes), file)
            if found.size_bytes != size_bytes or found.digest != digest:
                raise BadInputError(
                    f"{key} has {found.size_bytes} bytes of digest {found.digest}, "
                    f"{size_bytes} bytes of digest {digest} were announced"
                )
            self._keep(file, found)
        with _translated(f"removing the upload {key}"):
            self._client.delete_object(Bucket=self._bucket, Key=_staged(key))
        return found

    def _adopted_before(self, key: str, digest: str) -> Stored:
        try:
            return Stored(digest=digest, size_bytes=self.size(digest))
        except NotFoundError as error:
            raise NotFoundError(f"nothing was uploaded as {key}") from error

    def _keep(self, file: IO[bytes], stored: Stored) -> None:
        file.seek(0)
        with _translated(f"writing the object {stored.digest}"):
            self._client.put_object(
                Bucket=self._bucket, Key=_path(stored.digest), Body=file, ContentLength=stored.size_bytes
            )


def _path(digest: str) -> str:
    if _DIGEST.fullmatch(digest) is None:
        raise NotFoundError(f"no object {digest[:70]!r}")
    return f"objects/{digest[:2]}/{digest[2:]}"


def _staged(key: str) -> str:
    return f"staging/{check_key(key)}"


def _spool(chunks: Iterable[bytes], file: IO[bytes]) -> Stored:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        file.write(chunk)
    return Stored(digest=digest.hexdigest(), size_bytes=size)


def _chunks(body: StreamingBody, expected: int) -> Iterator[bytes]:
    with contextlib.closing(body):
        while expected > 0:
            with _translated("reading an object"):
                chunk = body.read(min(CHUNK_BYTES, expected))
            if not chunk:
                raise ObjectsError(f"S3 ended an object {expected} bytes early")
            expected -= len(chunk)
            yield chunk


def _bounded(body: StreamingBody, key: str, size_bytes: int) -> Iterator[bytes]:
    read: Callable[[int], bytes] = body.read
    left = size_bytes
    with contextlib.closing(body):
        while True:
            with _translated(f"reading the upload {key}"):
                chunk = read(CHUNK_BYTES)
            if not chunk:
                return
            left -= len(chunk)
            if left < 0:
                raise BadInputError(f"{key} has more than the {size_bytes} bytes that were announced")
            yield chunk
