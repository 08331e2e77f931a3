"""Object storage in a folder, handed out by signed, expiring addresses.

```
objects/ab/cdef...   an object, named by its SHA-256; written once, never opened for writing again
staging/<key>        what a runner uploaded and nobody adopted yet
tmp/                 files being written; they get a name by rename, whole, or never
```

An address is `<base_url>/objects/<digest>?expires=<unix>[&name=<file name>]&signature=<hmac>` for GET and
`<base_url>/staging/<key>?expires=<unix>&max=<bytes>&signature=<hmac>` for PUT. `service.web.objects` serves both.
"""

import contextlib
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO
from urllib.parse import quote, urlencode

from service.domain.errors import (
    BadInputError,
    BadSignatureError,
    MalformedError,
    NotFoundError,
    ObjectsError,
    TooLargeError,
)
from service.ports import Clock, Stored

CHUNK_BYTES = 1 << 20
MIN_KEY_BYTES = 32
LEFTOVER_AFTER = datetime.timedelta(days=1)  # no write takes longer; older temporary files are of dead processes
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"(?!\.{1,2}/)[a-z0-9._-]{1,100}(?:/(?!\.{1,2}(?:/|$))[a-z0-9._-]{1,100}){1,2}")
_SECONDS = re.compile(r"[0-9]{1,11}")


def check_key(key: str) -> str:
    """Raises: MalformedError unless `key` is two or three plain parts joined by `/`."""
    if _KEY.fullmatch(key) is None:
        raise MalformedError(f"{key[:100]!r} is not two or three parts of [a-z0-9._-] joined by /")
    return key


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectsError(f"the object folder failed while {doing}: {error.strerror}") from error


class LocalObjects:
    """`service.ports.Objects` in a folder, and what the routes of its addresses need."""

    def __init__(self, folder: pathlib.Path, *, base_url: str, key: bytes, clock: Clock) -> None:
        """`key` signs the addresses: at least 32 random bytes, the same in every process that serves them."""
        if len(key) < MIN_KEY_BYTES:
            raise BadInputError(f"the key of object addresses has {len(key)} bytes, it needs {MIN_KEY_BYTES}")
        self._objects = folder / "objects"
        self._staging = folder / "staging"
        self._tmp = folder / "tmp"
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._clock = clock
        with _translated("making its parts"):
            for part in (self._objects, self._staging, self._tmp):
                part.mkdir(parents=True, exist_ok=True)
            self._sweep()

    # -- service.ports.Objects

    def put(self, chunks: Iterable[bytes]) -> Stored:
        digest, size = hashlib.sha256(), 0
        with self._writing() as (file, path):
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                with _translated("writing an object"):
                    file.write(chunk)
            with _translated("keeping an object"):
                _flush(file)
                _rename(path, self._path(digest.hexdigest()))
        return Stored(digest=digest.hexdigest(), size_bytes=size)

    def size(self, digest: str) -> int:
        with self._found(digest), _translated("reading an object's size"):
            return self._path(digest).stat().st_size

    def read(self, digest: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        with self._found(digest), _translated("opening an object"):
            file = self._path(digest).open("rb")
        return _chunks(file, start, stop)

    def fetch_url(self, digest: str, *, expires_s: int, name: str = "") -> str:
        """`name`, when given, is what a browser saves it as."""
        parameters = {"expires": self._expires(expires_s)} | ({"name": name} if name else {})
        return self._signed("GET", "objects", digest, parameters)

    def upload_url(self, key: str, *, max_bytes: int, expires_s: int) -> str:
        parameters = {"expires": self._expires(expires_s), "max": str(max_bytes)}
        return self._signed("PUT", "staging", check_key(key), parameters)

    def adopt(self, key: str, *, digest: str, size_bytes: int) -> Stored:
        staged, held = self._staging / check_key(key), self._tmp / f"adopt-{secrets.token_hex(8)}"
        try:
            # A second name for the very file: an upload meanwhile replaces the name, never these bytes.
            os.link(staged, held)
        except FileNotFoundError:
            return self._adopted_before(key, digest)
        except OSError as error:
            raise ObjectsError(f"the object folder failed while adopting {key}: {error.strerror}") from error
        with _translated("adopting an upload"):
            try:
                _check(held, key, digest, size_bytes)
                _rename(held, self._path(digest))
            finally:
                held.unlink(missing_ok=True)
            staged.unlink(missing_ok=True)
        return Stored(digest=digest, size_bytes=size_bytes)

    # -- for service.web.objects

    def check_fetch(self, digest: str, parameters: Sequence[tuple[str, str]]) -> None:
        """Raises: BadSignatureError unless these parameters are of an address we made, and it is not too late."""
        self._check("GET", "objects", digest, parameters, known={"expires", "name"})

    def check_upload(self, key: str, parameters: Sequence[tuple[str, str]]) -> int:
        """The most bytes that may be put there. Raises: BadSignatureError."""
        return int(self._check("PUT", "staging", key, parameters, known={"expires", "max"})["max"])

    @contextlib.contextmanager
    def receive(self, key: str, *, max_bytes: int) -> Iterator["Upload"]:
        """An upload in pieces. Unless it is kept, nothing is left of it. Raises: MalformedError, ObjectsError."""
        target = self._staging / check_key(key)
        with self._writing() as (file, path):
            yield Upload(file, path, target, max_bytes=max_bytes)

    # -- inside

    def _path(self, digest: str) -> pathlib.Path:
        if _DIGEST.fullmatch(digest) is None:
            raise NotFoundError(f"no object {digest[:70]!r}")
        return self._objects / digest[:2] / digest[2:]

    @contextlib.contextmanager
    def _found(self, digest: str) -> Iterator[None]:
        try:
            yield
        except ObjectsError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise NotFoundError(f"no object {digest}") from error
            raise

    def _adopted_before(self, key: str, digest: str) -> Stored:
        try:
            return Stored(digest=digest, size_bytes=self.size(digest))
        except NotFoundError as error:
            raise NotFoundError(f"nothing was uploaded as {key}") from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[BinaryIO, pathlib.Path]]:
        with _translated("opening a temporary file"):
            handle, name = tempfile.mkstemp(dir=self._tmp)
        path = pathlib.Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)

    def _expires(self, expires_s: int) -> str:
        return str(int(self._clock.now().timestamp()) + expires_s)

    def _signed(self, method: str, area: str, name: str, parameters: dict[str, str]) -> str:
        signed = parameters | {"signature": self._signature(method, area, name, parameters)}
        return f"{self._base_url}/{area}/{quote(name)}?{urlencode(signed)}"

    def _signature(self, method: str, area: str, name: str, parameters: dict[str, str]) -> str:
        # JSON keeps the parts apart: no two different requests have the same bytes here.
        said = json.dumps([method, area, name, sorted(parameters.items())]).encode()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()

    def _check(
        self, method: str, area: str, name: str, parameters: Sequence[tuple[str, str]], *, known: set[str]
    ) -> dict[str, str]:
        given = dict(parameters)
        signature = given.pop("signature", "")
        if len(given) + 1 != len(parameters) or not set(given) <= known:
            raise BadSignatureError("this address has parameters that it should not have")
        expected = self._signature(method, area, name, given)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise BadSignatureError("the signature of this address is not right")
        expires = given.get("expires", "")
        if _SECONDS.fullmatch(expires) is None or self._clock.now().timestamp() >= int(expires):
            raise BadSignatureError("this address has expired")
        return given

    def _sweep(self) -> None:
        oldest = (self._clock.now() - LEFTOVER_AFTER).timestamp()
        for path in self._tmp.iterdir():
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


class Upload:
    """One upload while it comes in."""

    def __init__(self, file: BinaryIO, path: pathlib.Path, target: pathlib.Path, *, max_bytes: int) -> None:
        self._file = file
        self._path = path
        self._target = target
        self._max_bytes = max_bytes
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Raises: TooLargeError, before anything over the limit is written; ObjectsError."""
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooLargeError(f"more than the {self._max_bytes} bytes that this address takes")
        with _translated("writing an upload"):
            self._file.write(chunk)

    def keep(self) -> None:
        """Makes it what is staged under its key, in place of an older upload. Raises: ObjectsError."""
        with _translated("keeping an upload"):
            _flush(self._file)
            _rename(self._path, self._target)


def _chunks(file: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    with file, _translated("reading an object"):
        file.seek(start)
        left = None if stop is None else max(0, stop - start)
        while chunk := file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
            left = None if left is None else left - len(chunk)
            yield chunk


def _check(path: pathlib.Path, key: str, digest: str, size_bytes: int) -> None:
    size = path.stat().st_size
    if size != size_bytes:
        raise BadInputError(f"{key} has {size} bytes, {size_bytes} were announced")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise BadInputError(f"{key} has the digest {found}, {digest} was announced")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _rename(path: pathlib.Path, target: pathlib.Path) -> None:
    """Atomic, and on the disk when it returns."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    for folder in (target.parent, target.parent.parent):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
