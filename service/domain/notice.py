"""The desired state of a device, and where it is announced (docs/ota.md)."""

import datetime
from dataclasses import dataclass

from service.domain.bundle import canonical
from service.domain.device import DeviceId
from service.domain.release import ReleaseDigest

MAX_NOTICE_BYTES = 1024
LIFETIME = datetime.timedelta(days=90)  # bounds how long a withheld update goes unnoticed
RENEW_BEFORE = datetime.timedelta(days=60)  # of the end: a device may be off for that long and still believe it


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the director key says: this device shall run this release, until then."""

    device: DeviceId
    seq: int
    release: ReleaseDigest
    size_bytes: int
    counter: int
    issued: int  # Unix seconds
    expires: int  # Unix seconds
    config: str = ""  # digest of the device's configuration; empty: it keeps what it was enrolled with

    def payload(self) -> bytes:
        value = {
            "v": 1,
            "type": "desired",
            "device": self.device,
            "seq": self.seq,
            "release": self.release,
            "size": self.size_bytes,
            "counter": self.counter,
            "issued": self.issued,
            "expires": self.expires,
        }
        return canonical({**value, "config": self.config} if self.config else value)


def topic(device: DeviceId, kind: str = "desired") -> str:
    return f"kiln/v1/{device}/{kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A signed desired state, and what of it is kept beside."""

    seq: int
    release: ReleaseDigest
    config: str  # the configuration that it names
    notice: bytes  # JWS
    until: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A row of the outbox: a retained message that must reach the broker. An empty one asks for nothing any more."""

    id: int
    device: DeviceId
    payload: bytes
    is_last: bool = False  # the device is retired
