"""Lacks: a release whose schema a device's settings do not fulfil is not sent to it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.domain.build import BuildId
from service.domain.configuration import OF_THE_AGENT, Schema, Value
from service.domain.device import Device
from service.domain.errors import ConflictError
from service.domain.release import Release
from service.records import Configurations

logger = logging.getLogger("kiln.settings")

MAX_NAMED = 10  # settings that a sentence names
NOT_SENT = " is not sent: "


def is_lack(hold: str) -> bool:
    """Whether what holds a device is one of these sentences."""
    return NOT_SENT in hold


def lacks(schema: Schema, values: Mapping[str, Value]) -> str:
    """What keeps a device with these settings from firmware that declares `schema`, never naming a value.

    Empty when nothing does. What the agent itself reads is no matter: a board that is heard of has its Wi-Fi.
    """
    missing = [
        name for name, spec in schema.items() if spec.is_needed and name not in values and name not in OF_THE_AGENT
    ]
    said = [f"it has no value for {_listed(missing)}"] if missing else []
    wrong = [f"{name} {complaint}" for name, complaint in refused(schema, values).items()]
    return " and ".join(said + wrong[:MAX_NAMED])


def refused(schema: Schema, values: Mapping[str, Value]) -> dict[str, str]:
    """The settings whose values are none by this schema, each with what is wrong."""
    checked = {name: spec.complaint(values[name]) for name, spec in schema.items() if name in values}
    return {name: complaint for name, complaint in checked.items() if complaint}


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """`declared` answers what the firmware of a build declares."""

    configurations: Configurations
    declared: Callable[[BuildId], Schema]

    def obstacle(self, device: Device, release: Release) -> str:
        """Why the settings of a device keep this release from it, for people; empty when they do not.

        They are those that its order would name: what its fleet or group was given a moment ago counts once its
        configuration is made of it. A device whose settings cannot be opened goes on taking releases.
        """
        schema = self.declared(release.build)
        if not schema:
            return ""
        try:
            values = self.configurations.get(device.id).secrets.effective
        except ConflictError as error:
            logger.warning("settings not looked at", extra={"device": device.id, "error": str(error)})
            return ""
        said = lacks(schema, values)
        return f"version {release.version}{NOT_SENT}{said}; see `kiln settings`" if said else ""
