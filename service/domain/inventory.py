"""Looking through a fleet: which devices are meant, a page of them, and how many there are of each kind."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.repository import RepositoryId

DEFAULT_LIMIT = 100  # devices of one page
MAX_LIMIT = 500
MAX_TEXT_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Of devices that are not retired. What is empty or None does not matter."""

    repositories: frozenset[RepositoryId] | None = None  # None: of all
    board: str = ""
    channel: str = ""
    group: str = ""
    tag: str = ""
    state: str = ""  # "none": it never reported
    version: str = ""
    text: str = ""  # in its id or its label
    connected: bool | None = None
    held: bool | None = None  # it is not sent what it would get
    unseen_since: datetime.datetime | None = None  # or never


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device with its tags."""

    device: Device
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """In the order of their ids."""

    items: tuple[Found, ...] = ()
    next: DeviceId | None = None  # after which the next page begins; None: this was the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of the devices of a search."""

    total: int = 0
    connected: int = 0
    held: int = 0
    pinned: int = 0
    states: Mapping[str, int] = field(default_factory=dict)  # "none": never reported
    versions: Mapping[str, int] = field(default_factory=dict)  # likewise ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where people put a device, as far as it is not None."""

    label: str | None = None
    channel: str | None = None
    group: str | None = None  # empty: in none
    may_install: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A named set of devices of one repository."""

    repository: RepositoryId
    name: str
    created_at: datetime.datetime
    devices: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A device's place in a roll-out."""

    rollout: int
    build: BuildId
    version: str
    state: str
    reason: str
    at: datetime.datetime
