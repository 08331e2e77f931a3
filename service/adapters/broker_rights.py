"""Who may speak about what: docs/ota.md, section Broker. The Mosquitto adapters write the same as ACL and as roles."""

from dataclasses import dataclass, field

from service.adapters.broker_packets import matches
from service.domain.device import HOME, SERVICE, new_device_id

__all__ = ["FOR_A_DEVICE", "FOR_HOME", "HOME", "OF_A_DEVICE", "OF_HOME", "OF_THE_SERVICE", "ROOT", "SERVICE", "Home"]
__all__ += ["check_device", "may_connect_as", "may_publish", "may_subscribe"]

ROOT = "kiln/v1"
OF_A_DEVICE = ("report", "alive", "log")
# What it publishes; a device's own only to clear what a retired one left. `update` and `status` are for Home Assistant.
OF_THE_SERVICE = ("desired", "ask", *OF_A_DEVICE, "update", "status")
FOR_A_DEVICE = ("desired", "ask")
OF_HOME = ("install",)
FOR_HOME = ("update", "alive", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Home Assistant at the broker."""

    prefix: str  # of its discovery topics
    password: str = field(repr=False)

    @property
    def status(self) -> str:
        """Where it says that it is there."""
        return f"{self.prefix}/status"

    @property
    def discovery(self) -> str:
        """Where it is shown devices, as a filter."""
        return f"{self.prefix}/device/+/config"


def check_device(device: str) -> str:
    """Raises: BadInputError for a name that would mean something else in a topic, a filter or a password file."""
    return new_device_id(device)


def may_connect_as(user: str, client: str) -> bool:
    """A client id closes the connection of whoever has it: nobody takes another's."""
    if user == HOME:  # it makes one up at each start; that it is no device's, the broker looks for itself
        return not client.startswith(SERVICE)
    return client.startswith(SERVICE) if user == SERVICE else client == user


def may_publish(user: str, topic: str, home: Home | None = None) -> bool:
    if user == SERVICE:
        return _is_of(topic, OF_THE_SERVICE) or (home is not None and matches(home.discovery, topic))
    if user == HOME:
        return home is not None and (_is_of(topic, OF_HOME) or topic == home.status)
    return topic in {f"{ROOT}/{user}/{kind}" for kind in OF_A_DEVICE}


def may_subscribe(user: str, name: str, home: Home | None = None) -> bool:
    if user == SERVICE:
        return name.startswith(f"{ROOT}/") or (home is not None and name == home.status)
    if user == HOME:
        return home is not None and (_is_of(name, FOR_HOME) or name.startswith(f"{home.prefix}/"))
    return name in {f"{ROOT}/{user}/{kind}" for kind in FOR_A_DEVICE}


def _is_of(topic: str, kinds: tuple[str, ...]) -> bool:
    levels = topic.split("/")
    return topic.startswith(f"{ROOT}/") and len(levels) == 4 and levels[3] in kinds
