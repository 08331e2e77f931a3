"""Who may speak about what: docs/ota.md, section Broker. The Mosquitto adapter writes the same as ACL."""

from service.domain.device import device_id
from service.domain.errors import BadInputError

SERVICE = "kiln-service"  # the service's own user name, and the beginning of its client ids
ROOT = "kiln/v1"
OF_THE_SERVICE = ("desired", "ask", "alive")  # what it publishes; `alive` only to clear what a retired device left
OF_A_DEVICE = ("report", "alive", "log")
FOR_A_DEVICE = ("desired", "ask")


def check_device(device: str) -> str:
    """Raises: BadInputError for a name that would mean something else in a topic, a filter or a password file."""
    if device_id(device).startswith(SERVICE):
        raise BadInputError(f"{SERVICE} is the service's own name at the broker")
    return device


def may_connect_as(user: str, client: str) -> bool:
    """A client id closes the connection of whoever has it: nobody takes another's."""
    return client.startswith(SERVICE) if user == SERVICE else client == user


def may_publish(user: str, topic: str) -> bool:
    if user == SERVICE:
        levels = topic.split("/")
        return topic.startswith(f"{ROOT}/") and len(levels) == 4 and levels[3] in OF_THE_SERVICE
    return topic in {f"{ROOT}/{user}/{kind}" for kind in OF_A_DEVICE}


def may_subscribe(user: str, name: str) -> bool:
    if user == SERVICE:
        return name.startswith(f"{ROOT}/")
    return name in {f"{ROOT}/{user}/{kind}" for kind in FOR_A_DEVICE}
