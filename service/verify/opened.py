"""A bundle, opened and held against the release key: the same steps as a device takes (docs/ota.md)."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from runners.contract.paths import complaint
from service.domain.bundle import MAGIC, MAX_FILES, MAX_INDEX_BYTES, MAX_STATEMENT_BYTES, release_digest
from service.verify.keys import Keys
from service.verify.verdict import Reason, RefutedError

MAX_BUNDLE_BYTES = 64 << 20
_TEXTS = ("repo", "name", "commit", "version", "board")
_NUMBERS = ("counter", "mpy", "arch", "files", "size")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a good bundle says and holds."""

    repo: str
    name: str
    commit: str
    version: str
    board: str
    counter: int
    release: str  # the release digest
    digest: str  # of the whole file
    key: str  # id of the key that signed the statement
    files: Mapping[str, str]  # path -> digest
    size_bytes: int  # of all files


def open_bundle(content: bytes, keys: Keys) -> Opened:
    """Raises: RefutedError at the first thing that is not right."""
    if not content.startswith(MAGIC):
        raise _malformed("it does not begin as a bundle does")
    statement, separator, rest = content[len(MAGIC) :].partition(b"\n")
    if not separator or len(statement) > MAX_STATEMENT_BYTES or not statement.isascii():
        raise _malformed(f"it has no statement of at most {MAX_STATEMENT_BYTES} bytes")
    token = statement.decode("ascii")
    kid, payload = _verified(token, keys)
    said = _parsed(payload)
    index_size, index_digest = said["index"]["size"], said["index"]["sha256"]
    index, blobs = rest[:index_size], rest[index_size:]
    if hashlib.sha256(index).hexdigest() != index_digest:
        raise RefutedError(Reason.DIGEST_MISMATCH, "the list of files is not the one that was signed")
    files = _files(index, blobs)
    if (len(files), len(blobs)) != (said["files"], said["size"]):
        raise _malformed("its statement tells another number of files or bytes than it holds")
    return Opened(
        **{name: said[name] for name in (*_TEXTS, "counter")},
        release=release_digest(token),
        digest=hashlib.sha256(content).hexdigest(),
        key=kid,
        files=files,
        size_bytes=len(blobs),
    )


def _verified(token: str, keys: Keys) -> tuple[str, bytes]:
    """Key id and payload of a JWS; docs/ota.md has its one header."""
    try:
        kid = str(jwt.get_unverified_header(token)["kid"])
    except (jwt.PyJWTError, KeyError, ValueError, RecursionError) as error:
        raise _malformed("its statement is no JWS that names a key") from error
    key: RSAPublicKey | None = keys.get(kid)
    if key is None:
        known = ", ".join(keys)
        raise RefutedError(Reason.UNKNOWN_KEY, f"it is signed by the key {kid[:32]!a}, and the release key is {known}")
    try:
        whole = jwt.PyJWS().decode_complete(token, key, algorithms=["RS256"])
    except jwt.PyJWTError as error:
        raise RefutedError(Reason.BAD_SIGNATURE, f"the signature of its statement does not verify: {error}") from error
    if whole["header"] != {"alg": "RS256", "kid": kid}:
        raise _malformed("the header of its statement is not the one that devices take")
    return kid, bytes(whole["payload"])


def _parsed(payload: bytes) -> dict[str, Any]:
    """The statement, once its signature is good: signed by us, and looked at all the same."""
    try:
        said = json.loads(payload)
        is_right = (
            (said["v"], said["type"]) == (1, "release")
            and all(isinstance(said[each], str) for each in _TEXTS)
            and all(type(said[each]) is int and said[each] >= 0 for each in _NUMBERS)
            and type(said["index"]["size"]) is int
            and 0 <= said["index"]["size"] <= MAX_INDEX_BYTES
            and _DIGEST.fullmatch(said["index"]["sha256"])
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _malformed("its statement is not one of a release") from error
    if not is_right:
        raise _malformed("its statement is not one of a release")
    return dict(said)


def _files(index: bytes, blobs: bytes) -> dict[str, str]:
    files: dict[str, str] = {}
    at = 0
    lines = index.decode("utf-8", "replace").split("\n")
    if lines.pop():
        raise _malformed("its list of files is cut short")
    for line in lines:
        digest, _, rest = line.partition(" ")
        size, _, path = rest.partition(" ")
        if not (_DIGEST.fullmatch(digest) and size.isascii() and size.isdigit() and len(size) < 10 and path):
            raise _malformed("its list of files is not of the format")
        content = blobs[at : at + int(size)]
        if hashlib.sha256(content).hexdigest() != digest:
            raise RefutedError(Reason.DIGEST_MISMATCH, f"{path[:120]!a} is not the file that was signed")
        files[path] = digest
        at += int(size)
    if at != len(blobs) or len(files) > MAX_FILES:
        raise _malformed("it holds more than its list of files says")
    if said := complaint(files):
        raise _malformed(said)
    return files


def _malformed(what: str) -> RefutedError:
    return RefutedError(Reason.MALFORMED_BUNDLE, f"this is no bundle of Kiln: {what}")
