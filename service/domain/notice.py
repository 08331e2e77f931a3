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
    expires: int  # Unix seconds

    def payload(self) -> bytes:
        return canonical(
            {
                "v": 1,
                "type": "desired",
                "device": self.device,
                "seq": self.seq,
                "release": self.release,
                "size": self.size_bytes,
                "counter": self.counter,
                "expires": self.expires,
            }
        )


def topic(device: DeviceId) -> str:
    return f"kiln/v1/{device}/desired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A row of the outbox: a retained message that must reach the broker."""

    id: int
    device: DeviceId
    payload: bytes
