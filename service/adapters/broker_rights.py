"""Who may speak about what: docs/ota.md, section Broker. The Mosquitto adapter writes the same as ACL."""

from service.domain.device import device_id
from service.domain.errors import BadInputError

SERVICE = "kiln-service"  # the service's own user name, and the beginning of its client ids
ROOT = "kiln/v1"


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
        return topic.startswith(f"{ROOT}/") and topic.count("/") == 3 and topic.endswith("/desired")
    return topic in (f"{ROOT}/{user}/report", f"{ROOT}/{user}/alive")


def may_subscribe(user: str, name: str) -> bool:
    if user == SERVICE:
        return name.startswith(f"{ROOT}/")
    return name == f"{ROOT}/{user}/desired"
