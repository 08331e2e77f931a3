"""Signatures after the Standard Webhooks specification, which GitLab's signing tokens follow. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import datetime
import hmac
import re
from collections.abc import Mapping, Sequence

from service.adapters.forges import payload

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
TOLERANCE = datetime.timedelta(minutes=5)  # to either side; the specification leaves it open, its libraries take this
MAX_SIGNATURES = 16  # in one header: one for each secret that is in use at the sender

_SECONDS = re.compile(r"[0-9]{1,11}")
_VERSION = b"v1,"


def fits(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime.datetime) -> bool:
    """Whether one of the signatures was made with one of the secrets, lately. A secret that is no key fits nothing."""
    identity, timestamp = payload.header(headers, ID), payload.header(headers, TIMESTAMP)
    given = payload.header(headers, SIGNATURE).encode("utf-8", "replace").split(b" ")
    content = b".".join((payload.raw(identity), payload.raw(timestamp), body))
    found = False
    for secret in secrets:
        signing_key = key(secret)
        wanted = _VERSION + base64.b64encode(hmac.digest(signing_key, content, "sha256"))
        for signature in given[:MAX_SIGNATURES]:
            found |= hmac.compare_digest(wanted, signature) and signing_key != b""
    return found and complaint(headers, now) == ""


def complaint(headers: Mapping[str, str], now: datetime.datetime) -> str:
    """What is wrong with the headers, whatever the secret; empty when they are as they should be."""
    timestamp = payload.header(headers, TIMESTAMP)
    if not payload.header(headers, ID) or _SECONDS.fullmatch(timestamp) is None:
        return f"{SIGNATURE} needs {ID} and {TIMESTAMP}, in seconds since 1970, beside it"
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        minutes = TOLERANCE // datetime.timedelta(minutes=1)
        return f"{TIMESTAMP} is more than {minutes} minutes off: check the clocks of both machines"
    return ""


def key(secret: str) -> bytes:
    """The bytes that sign; none when it is not base64, with or without the prefix and the padding."""
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
        return b""
