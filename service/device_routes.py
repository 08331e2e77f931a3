"""Devices, wired: what they ask for themselves, what people do to them, and what comes of their messages."""

import datetime
import functools
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from starlette.routing import Route

from service import configuring
from service.adapters.agents import compiled, compiled_loader
from service.adapters.authorities import device_authority
from service.adapters.device_cipher import encrypt
from service.declared import Declared
from service.domain import bundle
from service.domain.agent import AgentRelease
from service.domain.build import Build, BuildJob
from service.domain.configuration import KEY_BYTES
from service.domain.device import DeviceId
from service.domain.errors import KilnError, NotFoundError
from service.domain.first_install import NewBoard
from service.flows import agents, credentials, enrol, flash, track
from service.kiln import VERSION, Kiln, token_change
from service.rolling import heard
from service.settings import Settings
from service.web.device_deeds import DeviceDeeds
from service.web.device_doors import DeviceDoors
from service.web.devices import DeviceApi
from service.web.mip import AgentPackage
from service.web.sight import Sight

logger = logging.getLogger("kiln.devices")

UNSURE = datetime.timedelta(minutes=1)  # Mosquitto writes its file a second after it acknowledged


def for_devices(kiln: Kiln) -> list[Route]:
    """Each of them proves itself with its token, but for one that has none yet and gets the agent."""
    doors = DeviceDoors(
        fleet=kiln.fleet,
        configurations=kiln.sealed.configurations,
        take_report=lambda device, payload: take_report(kiln, device, payload),
        follow=lambda device, token: configuring.follow(kiln, device, token),
    )
    package = AgentPackage(agent=first_agent, base_url=kiln.settings.url, version=VERSION)
    return [*doors.routes(), *package.routes()]


def for_people(kiln: Kiln, sight: Sight, announced: Callable[[], None], declared: Declared) -> list[Route]:
    parts = configuring.parts(kiln, declared)
    deeds = DeviceDeeds(
        parts=parts,
        accounts=kiln.broker.accounts,
        broker=kiln.broker.link,
        announced=announced,
        new_token=kiln.broker.new_token,
        where=where(kiln.settings),
        newest_agent=kiln.agents.newest,
        release_agent=lambda: _release_agent(kiln),
    )
    api = DeviceApi(
        sight=sight,
        fleet=kiln.fleet,
        tags=kiln.inventory.tags,
        configuration=kiln.sealed.configurations.get,
        schema=parts.schema,
        deeds=deeds,
        enrol=enroller(kiln, announced, declared),
        device_file=lambda enrolled: device_file(kiln.settings, enrolled),
        authority=device_authority(*kiln.settings.device_authorities),
    )
    return api.routes()


def enrol_parts(kiln: Kiln, declared: Declared) -> enrol.Parts:
    return enrol.Parts(
        repositories=kiln.repositories,
        fleet=kiln.fleet,
        inventory=kiln.inventory,
        configurations=kiln.sealed.configurations,
        shared=kiln.sealed.shared,
        accounts=kiln.broker.accounts,
        keys=kiln.keys,
        clock=kiln.clock,
        catalogue=kiln.boards.catalogue,
        encrypt=encrypt,
        schema=declared.for_device,
        settle=configuring.settling(kiln),
        channels=declared.channels,
    )


def enroller(
    kiln: Kiln, announced: Callable[[], None], declared: Declared
) -> Callable[[enrol.Request, str], enrol.Enrolled]:
    """Enrols a device for somebody."""
    parts = enrol_parts(kiln, declared)

    def act(wanted: enrol.Request, by: str) -> enrol.Enrolled:
        token, key = kiln.broker.new_token(wanted.id), secrets.token_bytes(KEY_BYTES)
        enrolled = enrol.wanted_by_people(wanted, parts, token=token, key=key, by=by)
        announced()
        return enrolled

    return act


def device_file(settings: Settings, enrolled: enrol.Enrolled) -> dict[str, Any]:
    """`device.json` of the agent (device/README.md)."""
    return {
        "id": enrolled.device.id,
        "token": enrolled.token,
        "key": enrolled.key.hex(),
        "board": enrolled.device.board,
        "repo": enrolled.device.repository,
        **where(settings),
    }


def where(settings: Settings) -> dict[str, Any]:
    """Where devices find us, as their device.json says it."""
    mqtt: dict[str, Any] = {"host": settings.mqtt_host, "port": settings.mqtt_port}
    if settings.mqtt_tls_port:
        mqtt |= {"port": settings.mqtt_tls_port, "tls": True}
    return {"base": settings.url, "mqtt": mqtt}


def take_reports(kiln: Kiln, said: Sequence[tuple[str, bytes]]) -> list[tuple[str, KilnError]]:
    """Who was refused, and why: MalformedError, NotFoundError, BadInputError; BrokerError after it was kept."""
    taken = track.take_reports(said, token_change(kiln))
    for device, report in taken.heard:
        logger.info("report", extra={"device": device.id, "state": report.state.value, "reason": report.reason})
    if taken.heard:
        heard(kiln, taken.heard)
    return taken.refused


def take_report(kiln: Kiln, device: str, payload: bytes) -> None:
    """Raises: as `take_reports` says."""
    for _, error in take_reports(kiln, [(device, payload)]):
        raise error


@dataclass(frozen=True, slots=True)
class Heard:
    """What the broker brings. Nothing that a device says may stop the thread that it comes in."""

    kiln: Kiln
    announced: Callable[[], None]
    watch: track.Watch

    @classmethod
    def at(cls, kiln: Kiln, announced: Callable[[], None]) -> Self:
        heard = cls(kiln, announced, track.Watch(kiln.fleet, kiln.clock))
        kiln.broker.link.on_reports(heard.reports)
        kiln.broker.link.on_alive(heard.alive)
        kiln.broker.link.on_log(heard.log)
        kiln.broker.link.on_return(heard.returned)
        return heard

    def reports(self, said: Sequence[tuple[str, bytes]]) -> None:
        for device, error in take_reports(self.kiln, said):
            logger.warning("report refused", extra={"device": device, "error": str(error)})
            self._cleared(device, error)

    def _cleared(self, device: str, error: KilnError) -> None:
        """What a retired device left, as its last will for one, is cleared again."""
        if isinstance(error, NotFoundError):
            self.kiln.fleet.clear_again(DeviceId(device))
            self.announced()

    def alive(self, said: Sequence[tuple[str, bool]]) -> None:
        odd, strangers = self.watch.take_alive(said)
        for device in odd:
            logger.warning("device connects too often", extra={"device": device})
        if strangers:
            self.announced()  # of a retired device, perhaps: what it left is cleared again

    def returned(self, is_known: bool) -> None:
        """The broker is there (again). One that does not know us may have lost what it kept; one that was killed, what
        it acknowledged last.
        """
        if not is_known:
            self.kiln.fleet.all_gone()  # what it keeps of them comes after this
        self.kiln.fleet.send_again(now=self.kiln.clock.now(), newest=UNSURE if is_known else None)
        self.announced()
        try:
            ended = credentials.end_of_retired(self.kiln.broker.accounts, self.kiln.fleet)
        except KilnError as error:
            logger.warning("accounts not compared", extra={"error": str(error)})
            return
        if ended:
            logger.warning("accounts of retired devices ended", extra={"devices": ended[:20], "count": len(ended)})

    def log(self, device: str, payload: bytes) -> None:
        try:
            track.take_log(device, payload, fleet=self.kiln.fleet, clock=self.kiln.clock)
        except KilnError as error:
            logger.warning("log refused", extra={"device": device, "error": str(error)})
            self._cleared(device, error)


def _release_agent(kiln: Kiln) -> AgentRelease:
    return agents.release(
        agents=kiln.agents,
        objects=kiln.objects,
        keys=kiln.keys,
        clock=kiln.clock,
        compiled=_compiled,
        version=VERSION,
    )


def new_board(kiln: Kiln, build: Build, job: BuildJob) -> NewBoard | None:
    """:data:`service.flows.flash.NewBoardOf`."""
    return flash.new_board(
        build,
        job,
        builds=kiln.builds,
        catalogue=kiln.boards.catalogue,
        agent=first_agent,
        trust=lambda: kiln.keys.root().entries(),
    )


@functools.cache
def first_agent() -> tuple[bundle.File, ...]:
    return (compiled_loader(), *_compiled())


# Once in a process: neither the source nor the compiler changes while it runs.
_compiled = functools.cache(compiled)
