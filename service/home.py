"""Home Assistant, wired: what it is shown, and what comes of its button."""

import logging
import time
from collections.abc import Callable

from service import declared
from service.adapters.background import Repeater
from service.domain.errors import KilnError
from service.domain.home_assistant import INSTALL, OFFLINE, ONLINE, STATUS, Place
from service.flows.announce import Obstacle
from service.flows.discovery import Discovery, Installing, install
from service.kiln import VERSION, Kiln

logger = logging.getLogger("kiln.home")

EVERY_S = 5.0
SHARE = 20  # looking takes at most this part of the time
BUTTON = "kiln/v1/+/install"


class HomeAssistant:
    """For a Kiln whose settings name one. `repeater` looks whether something changed."""

    def __init__(self, kiln: Kiln, announced: Callable[[], None], obstacle: Obstacle) -> None:
        self._kiln = kiln
        self._announced = announced
        self._obstacle = obstacle
        self._quiet_until = 0.0
        self._discovery = Discovery(fleet=kiln.fleet, builds=kiln.builds, broker=kiln.broker.link, place=place(kiln))
        self.repeater = Repeater("home assistant", self._look, every_s=EVERY_S)
        kiln.broker.link.leave_word(STATUS, ONLINE, OFFLINE)
        kiln.broker.link.on_return(lambda _is_known: self.show_again())
        kiln.broker.link.on_topic(BUTTON, self._pressed)
        kiln.broker.link.on_topic(place(kiln).birth_topic, self._born)

    @classmethod
    def of(cls, kiln: Kiln, announced: Callable[[], None]) -> "HomeAssistant | None":
        if not kiln.settings.home_assistant:
            return None
        return cls(kiln, announced, declared.obstacle(kiln, declared.Declared(kiln)))

    def show_again(self) -> None:
        """The broker may have lost what it kept."""
        self._discovery.show_again()
        self._quiet_until = 0.0
        self.repeater.wake()

    def _look(self) -> None:
        """A large fleet is looked at less often, so that the service has its time for others."""
        begun = time.monotonic()
        if begun < self._quiet_until:
            return
        self._discovery.look()
        self._quiet_until = time.monotonic() + (time.monotonic() - begun) * SHARE

    def _pressed(self, topic: str, payload: bytes) -> None:
        device = topic.split("/")[2]
        if payload != INSTALL:
            return
        try:
            install(device, self._installing())
        except KilnError as error:
            logger.warning("not installed", extra={"device": device, "error": str(error)})
        self.repeater.wake()

    def _born(self, _topic: str, payload: bytes) -> None:
        if payload == ONLINE:
            self.show_again()

    def _installing(self) -> Installing:
        kiln = self._kiln
        return Installing(
            fleet=kiln.fleet,
            builds=kiln.builds,
            rollouts=kiln.rollouts,
            audit=kiln.audit,
            keys=kiln.keys,
            clock=kiln.clock,
            obstacle=self._obstacle,
            announced=self._announced,
        )


def place(kiln: Kiln) -> Place:
    return Place(
        prefix=kiln.settings.home_assistant,
        base_url=kiln.settings.url,
        instance=kiln.instance.id,
        version=VERSION,
    )
