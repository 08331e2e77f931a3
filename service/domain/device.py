"""A device: one unit with an identity, and what it last said of itself."""

import dataclasses
import datetime
import enum
import json
import re
from dataclasses import dataclass
from typing import Any, NewType, Self

from service.domain.build import BuildId
from service.domain.errors import BadInputError, MalformedError
from service.domain.release import ReleaseDigest
from service.domain.repository import RepositoryId

DeviceId = NewType("DeviceId", str)

MAX_REPORT_BYTES = 1024
MAX_DETAIL_CHARS = 200
MAX_LOG_BYTES = 1024  # of one message
MAX_LOG_CHARS = 4096  # kept for each device
SERVICE = "kiln-service"  # the service's own user name at the broker, and the beginning of its client ids
HOME = "kiln-home-assistant"  # the user name of Home Assistant there
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_TEXTS = {
    "reason": 40,
    "detail": MAX_DETAIL_CHARS,
    "release": 64,
    "running": 64,
    "version": 64,
    "board": 64,
    "slot": 8,
    "sys": 120,
    "config": 64,
    "last": 160,
    "cause": 40,
}
_NUMBERS = ("counter", "seq", "boots", "free", "heap", "mpy", "agent", "root")
SETTLED = ("idle", "confirmed")  # in these the configuration in force is not on trial
PASSING = ("downloading", "staged", "trial")  # a device that says `idle` is in none of these any more


class DeviceState(enum.Enum):
    """Both sides use these words (docs/ota.md, Report)."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    STAGED = "staged"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"


def is_device_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def taken(name: str, *, is_retired: bool) -> str:
    """Why nobody gets this id, in a sentence."""
    if is_retired:
        return f"the device {name!r} was retired, and its id is never used again: take another"
    return f"a device {name!r} exists already"


def device_id(text: str) -> DeviceId:
    """Raises: BadInputError. It is an MQTT user name and a topic level, hence so strict."""
    if not is_device_id(text):
        raise BadInputError(f"not a device id (a-z, 0-9, '-', at most 48): {text[:80]!r}")
    return DeviceId(text)


def new_device_id(text: str) -> DeviceId:
    """For a device that is to be. Raises: BadInputError, also for a name that is another's at the broker."""
    name = device_id(text)
    if name.startswith(SERVICE) or name == HOME:
        raise BadInputError(f"{SERVICE} and {HOME} are no names for devices at the broker")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a device says about itself. Untrusted: shown, counted, never believed about others."""

    state: DeviceState
    reason: str = ""
    detail: str = ""
    release: str = ""
    running: str = ""
    version: str = ""
    board: str = ""
    slot: str = ""
    sys: str = ""
    counter: int = 0
    seq: int = 0
    boots: int = 0
    free: int = 0
    heap: int = 0
    mpy: int = 0
    config: str = ""  # digest of the configuration in force
    agent: int = 0  # counter of the agent that runs
    root: int = 0  # version of its root document
    stale: bool = False  # it heard nothing signed for too long
    last: str = ""  # of the last roll-back, "reason: detail"
    cause: str = ""  # of the last restart

    @property
    def is_settled(self) -> bool:
        """Nothing is on trial."""
        return self.state.value in SETTLED

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Raises: MalformedError when it is not a report of docs/ota.md."""
        if len(payload) > MAX_REPORT_BYTES:
            raise MalformedError(f"a report is at most {MAX_REPORT_BYTES} bytes")
        try:
            value = json.loads(payload)
            if not isinstance(value, dict) or value.get("v") != 1:
                raise MalformedError("not a report of version 1")
            fields: dict[str, Any] = {name: _text(value, name, limit) for name, limit in _TEXTS.items()}
            fields |= {name: _number(value, name) for name in _NUMBERS}
            return cls(state=DeviceState(value.get("state")), stale=value.get("stale") is True, **fields)
        except (ValueError, RecursionError) as error:
            raise MalformedError(f"not a report: {error}") from error

    def after(self, previous: "Report | None") -> "Report":
        """What to show of the device from now on.

        A device that comes back says `idle`; what its last order led to stays worth knowing until the next one, and so
        does a crash of what it confirmed.
        """
        if self.state is not DeviceState.IDLE or previous is None or previous.seq > self.seq:
            return self
        if previous.state.value in PASSING or (self.reason and previous.state.value in SETTLED):
            return self
        kept = {name: getattr(previous, name) for name in ("state", "reason", "detail", "release")}
        return dataclasses.replace(self, **kept)


def _text(value: dict[str, Any], name: str, limit: int) -> str:
    text = value.get(name, "")
    if not isinstance(text, str):
        raise MalformedError(f"{name} is not text")
    return "".join(char if char.isprintable() else " " for char in text[:limit])


def _number(value: dict[str, Any], name: str) -> int:
    number = value.get(name, 0)
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) > 2**53:
        raise MalformedError(f"{name} is not a number")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    id: DeviceId
    repository: RepositoryId
    board: str
    channel: str
    token_digest: str  # SHA-256 of its token: 256 random bits need no slow hash
    new_token_digest: str | None = None  # of the token that it is to change to; until then both are taken
    config: str = ""  # digest of the configuration that its orders name; empty: as it was enrolled
    retired_at: datetime.datetime | None = None  # it is gone for good, and its id with it
    connected: bool | None = None  # to the broker; None: it never was
    seq: int = 0  # of its newest desired state
    desired: ReleaseDigest | None = None
    desired_until: datetime.datetime | None = None  # then the signed desired state expires
    report: Report | None = None
    seen_at: datetime.datetime | None = None
    created_at: datetime.datetime
    label: str = ""  # for people; its id is for machines
    group: str = ""  # of its repository; empty: none
    pin: BuildId | None = None  # whose release it shall run, whatever its channel does
    hold: str = ""  # why it is not sent what it would get, for people
    may_install: bool = False  # by a button of others, such as Home Assistant's


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """What was done to a device, or what is odd about it."""

    at: datetime.datetime
    what: str  # "enrolled", "settings", "token", "address", "agent", "retired", "alarm"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLog:
    """The last lines that a device printed."""

    at: datetime.datetime  # when it sent the newest of them
    text: str


def readable(payload: bytes) -> str:
    """Lines of a device as text without control characters. Raises: MalformedError when there are too many."""
    if len(payload) > MAX_LOG_BYTES:
        raise MalformedError(f"a log message is at most {MAX_LOG_BYTES} bytes")
    text = payload.decode(errors="replace")
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def joined(kept: str, new: str) -> str:
    """A log and the lines that came later. A device sends its newest lines each time: what repeats is kept once."""
    repeated = next((size for size in range(min(len(kept), len(new)), 0, -1) if kept.endswith(new[:size])), 0)
    return (kept + new[repeated:])[-MAX_LOG_CHARS:]
