"""Shared settings: what all devices of a repository, or of one of its groups, are given unless theirs is another."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.configuration import Schema, Value
from service.domain.errors import TooLargeError
from service.domain.repository import RepositoryId

MAX_SHARED_BYTES = 2048  # of one fleet's or group's: a device's own and its credentials are to fit beside both


class Origin(enum.Enum):
    """Where a device has a value from; each stands above those before it."""

    DEFAULT = "default"  # of the schema
    FLEET = "fleet"
    GROUP = "group"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom shared settings are for."""

    repository: RepositoryId
    group: str = ""  # empty: all devices of the repository, its fleet

    def __str__(self) -> str:
        return f"group {self.group}" if self.group else "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaking:
    """A scope whose devices are still to be given what it has now."""

    scope: Scope
    version: int  # of its settings: another one means that they were changed again, and all begins anew
    after: str  # devices up to this id, in the order of ids, have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The values of one device by where they are from."""

    fleet: Mapping[str, Value] = field(default_factory=dict, repr=False)
    group: Mapping[str, Value] = field(default_factory=dict, repr=False)
    device: Mapping[str, Value] = field(default_factory=dict, repr=False)

    @property
    def shared(self) -> dict[str, Value]:
        return {**self.fleet, **self.group}

    @property
    def effective(self) -> dict[str, Value]:
        return {**self.shared, **self.device}

    def origin(self, name: str, schema: Schema) -> Origin | None:
        """None for a setting without any value."""
        for origin in (Origin.DEVICE, Origin.GROUP, Origin.FLEET):
            if name in getattr(self, origin.value):
                return origin
        spec = schema.get(name)
        return Origin.DEFAULT if spec is not None and spec.default is not None else None


def check_shared_size(plain: bytes, scope: Scope) -> None:
    """Raises: TooLargeError."""
    if len(plain) > MAX_SHARED_BYTES:
        raise TooLargeError(f"the settings of the {scope} would have {len(plain)} bytes, over {MAX_SHARED_BYTES}")
