"""Devices as Home Assistant shows them: MQTT discovery, and the states that it points to.

https://www.home-assistant.io/integrations/mqtt/#discovery-messages-and-availability,
https://www.home-assistant.io/integrations/update.mqtt/, https://www.home-assistant.io/integrations/binary_sensor.mqtt/.
Home Assistant drops a state with a key that it does not know, or with null where it wants text.
"""

import re
from dataclasses import dataclass
from typing import Any

from service.domain.bundle import canonical
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.errors import BadInputError
from service.domain.notice import topic
from service.domain.release import Release

INSTALL = b"install"  # what a press of the button says
ONLINE, OFFLINE = b"online", b"offline"
STATUS = topic(DeviceId("kiln-service"), "status")  # whether Kiln itself is there
MAX_SUMMARY_CHARS = 255  # Home Assistant's own limit
MAX_PREFIX_CHARS = 60
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
# How far an update is, where a device says that much; between two reports it says nothing.
_PERCENT = {DeviceState.DOWNLOADING: 10, DeviceState.STAGED: 50, DeviceState.TRIAL: 80}


def prefix(text: str) -> str:
    """Raises: BadInputError for what is no beginning of topics, or one that is ours."""
    if not _PREFIX.fullmatch(text) or len(text) > MAX_PREFIX_CHARS or text.split("/", maxsplit=1)[0] == "kiln":
        raise BadInputError(f"Home Assistant's discovery prefix is like homeassistant, not {text[:80]!r}")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where Home Assistant looks, and who tells it."""

    prefix: str
    base_url: str  # of our pages
    instance: str  # keeps two Kilns at one Home Assistant apart
    version: str  # of Kiln

    def discovery_topic(self, device: DeviceId) -> str:
        return f"{self.prefix}/device/kiln-{self.instance}-{device}/config"

    @property
    def birth_topic(self) -> str:
        """What Home Assistant says there when it starts."""
        return f"{self.prefix}/status"

    def discovery(self, device: Device, running: str) -> bytes:
        """Which device there is, with an `update` and a connectivity sensor. `running`: the version, as in `state`."""
        name = f"kiln-{self.instance}-{device.id}"
        said: dict[str, Any] = {
            "device": self._device(device, name, running),
            "origin": {"name": "Kiln", "sw_version": self.version, "support_url": self.base_url},
            "components": {"firmware": _update(device, name), "connection": _connection(device, name)},
        }
        return canonical(said)

    def _device(self, device: Device, name: str, running: str) -> dict[str, Any]:
        found = {
            "identifiers": [name],
            "name": device.label or device.id,
            "manufacturer": "Kiln",
            "model": device.board,
            "serial_number": device.id,
            "configuration_url": f"{self.base_url}/devices",
        }
        return {**found, "sw_version": running} if running else found

    def state(self, device: Device, newest: Release | None, running: str) -> bytes:
        """Of the `update` entity. `newest` is what the device shall run once it is told to, `running` the version that
        it last ran for good; empty while that is not known.
        """
        percent = _percent(device)
        said: dict[str, Any] = {
            "installed_version": running,
            "latest_version": newest.version if newest else running,
            "title": newest.name if newest else device.repository,
            # Home Assistant keeps what it heard of a key that is left out: here, of a release that was withdrawn.
            "release_url": f"{self.base_url}/builds/{newest.build}" if newest else f"{self.base_url}/devices",
        }
        said = {key: value for key, value in said.items() if value}
        said["release_summary"] = _summary(device, newest)
        said |= {"in_progress": is_under_way(device), "update_percentage": percent}
        return canonical(said)


def installed(device: Device) -> str:
    """The version that runs; empty while that is not known, or on trial: then it may be another one again."""
    report = device.report
    return "" if report is None or report.state is DeviceState.TRIAL else report.version


def is_under_way(device: Device) -> bool:
    """Whether it was told of a release, and has neither run it well nor said that it will not."""
    report = device.report
    if device.desired is None or report is None:
        return False
    if report.running == device.desired and report.is_settled:
        return False
    return not _is_given_up(device, report)


def _is_given_up(device: Device, report: Report) -> bool:
    """A refusal names no release: it is of the order that the device heard last."""
    if report.state is DeviceState.REFUSED:
        return report.seq >= device.seq
    return report.state is DeviceState.ROLLED_BACK and report.release == device.desired


def _percent(device: Device) -> int | None:
    if device.report is None or not is_under_way(device):
        return None
    return _PERCENT.get(device.report.state)


def _summary(device: Device, newest: Release | None) -> str:
    """What stands in the way first, then what is new."""
    said = [f"Not sent: {device.hold}."] if device.hold else []
    report = device.report
    if report is not None and device.desired is not None and _is_given_up(device, report):
        verb = "Rolled back" if report.state is DeviceState.ROLLED_BACK else "Refused"
        said.append(f"{verb}: {': '.join(filter(None, (report.reason, report.detail)))}.")
    said.append(newest.notes if newest else "")
    text = "\n".join(filter(None, said))
    return text if len(text) <= MAX_SUMMARY_CHARS else f"{text[: MAX_SUMMARY_CHARS - 1]}…"


def _update(device: Device, name: str) -> dict[str, Any]:
    found = {
        "platform": "update",
        "unique_id": f"{name}-firmware",
        "name": "Firmware",
        "device_class": "firmware",
        "state_topic": topic(device.id, "update"),
        "availability": [{"topic": STATUS}],  # without Kiln nothing is installed
        "qos": 1,
    }
    if device.may_install:
        found |= {"command_topic": topic(device.id, "install"), "payload_install": INSTALL.decode()}
    return found


def _connection(device: Device, name: str) -> dict[str, Any]:
    return {
        "platform": "binary_sensor",
        "unique_id": f"{name}-connection",
        "name": "Connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": topic(device.id, "alive"),  # what the device itself says, and its last will
        "payload_on": "1",
        "payload_off": "0",
        "qos": 1,
    }
