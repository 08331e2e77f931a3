"""The fleet, wired: what people do to many devices at once."""

import asyncio
import secrets
from collections.abc import Callable

from starlette.responses import Response
from starlette.routing import Route

from service import configuring, device_routes
from service.adapters.archive import zipped
from service.adapters.authorities import device_authority
from service.adapters.device_cipher import decrypt
from service.declared import Declared
from service.domain.device import Device, DeviceId
from service.domain.errors import ConflictError, OutsideError
from service.domain.rights import Right
from service.domain.shared import Layers, Scope
from service.flows import archive, claims as flow, configure, enrol, offer, place, shared
from service.flows.configure import Wish
from service.flows.flash import ManifestOf
from service.kiln import Kiln
from service.web.archive import Archives
from service.web.attempts import Attempts
from service.web.auth import may_still
from service.web.claims import MAX_WRONG_A_MINUTE, ClaimApi, ClaimDoor
from service.web.device_pages import DevicePages
from service.web.inventory import InventoryApi
from service.web.settings import SettingsApi
from service.web.sight import Sight


def inventory(kiln: Kiln, sight: Sight, announced: Callable[[], None], declared: Declared) -> list[Route]:
    parts = configuring.parts(kiln, declared)
    placing = place.Parts(
        builds=kiln.builds,
        fleet=kiln.fleet,
        inventory=kiln.inventory,
        clock=kiln.clock,
        remake=lambda name: configure.remake(name, parts),
        settle=configuring.settling(kiln),
        channels=declared.channels,
        releases=kiln.channels.releases,
    )
    return InventoryApi(sight=sight, parts=placing, announced=announced).routes()


def claims(kiln: Kiln, sight: Sight, declared: Declared) -> list[Route]:
    """One-time codes, for those who make them."""
    return ClaimApi(
        sight=sight,
        parts=_claim_parts(kiln, declared),
        where=device_routes.where(kiln.settings),
        authority=device_authority(*kiln.settings.device_authorities),
    ).routes()


def for_devices(kiln: Kiln, announced: Callable[[], None], declared: Declared) -> list[Route]:
    """The door for boards that have a code and no identity yet."""
    attempts = Attempts(kiln.clock, limit=MAX_WRONG_A_MINUTE)
    return ClaimDoor(parts=_claim_parts(kiln, declared), attempts=attempts, announced=announced).routes()


def _claim_parts(kiln: Kiln, declared: Declared) -> flow.Parts:
    return flow.Parts(
        claims=kiln.sealed.claims,
        enrolling=device_routes.enrol_parts(kiln, declared),
        audit=kiln.audit,
        chance=secrets.token_bytes,
        about=lambda _device: device_routes.where(kiln.settings),
        decrypt=decrypt,
        may=lambda name, of: may_still(name, Right.DEVICES, kiln.repositories.get(of), kiln.people),
    )


def settings(kiln: Kiln, sight: Sight, announced: Callable[[], None], declared: Declared) -> list[Route]:
    parts = configuring.parts(kiln, declared)

    def layers(device: Device) -> Layers:
        return configure.layers(device, kiln.sealed.configurations.get(device.id).secrets.settings, kiln.sealed.shared)

    def change_shared(scope: Scope, wish: Wish, by: str) -> bool:
        now = kiln.clock.now()
        return shared.change(scope, wish, declared.in_use(scope), kiln.sealed.shared, by=by, now=now)

    def change_device(name: DeviceId, wish: Wish, by: str) -> Device:
        device = configure.settings(name, wish, parts, by=by)
        announced()
        return device

    return SettingsApi(
        sight=sight,
        fleet=kiln.fleet,
        shared=kiln.sealed.shared,
        layers=layers,
        declared=declared.for_device,
        in_use=declared.in_use,
        change_shared=change_shared,
        change_device=change_device,
    ).routes()


def archives(kiln: Kiln, sight: Sight, manifest: ManifestOf, turn: asyncio.Semaphore) -> list[Route]:
    """A device's archive and flash image. `turn` is that of all flash images."""
    parts = _archive_parts(kiln, manifest)
    return Archives(sight=sight, parts=parts, tokens=kiln.tokens, zipped=zipped, turn=turn).routes()


def pages(
    kiln: Kiln,
    sight: Sight,
    page: Callable[..., Response],
    manifest: ManifestOf,
    create: Callable[[enrol.Request, str], enrol.Enrolled],
) -> list[Route]:
    """The pages of one device. `create` enrols it."""
    parts = _archive_parts(kiln, manifest)

    def image(device: Device) -> tuple[str, str]:
        try:
            return archive.image_name(archive.content_of(device.id, parts), parts)
        except ConflictError as error:  # it is retired, or its token is not kept
            return "", str(error)
        except OutsideError:  # a page without its links is better than none
            return "", ""

    def names(device: Device) -> list[str]:
        try:
            return sorted(kiln.sealed.configurations.get(device.id).secrets.effective)
        except ConflictError:  # they cannot be opened: all else of the device is still to be seen
            return []

    return DevicePages(
        sight=sight,
        fleet=kiln.fleet,
        page=page,
        offer=lambda repository: offer.offer(
            repository,
            builds=kiln.builds,
            shared=kiln.sealed.shared,
            catalogue=kiln.boards.catalogue,
            manifest=manifest,
        ),
        create=create,
        flash=image,
        settings=names,
    ).routes()


def _archive_parts(kiln: Kiln, manifest: ManifestOf) -> archive.Parts:
    return archive.Parts(
        builds=kiln.builds,
        fleet=kiln.fleet,
        configurations=kiln.sealed.configurations,
        objects=kiln.objects,
        audit=kiln.audit,
        clock=kiln.clock,
        catalogue=kiln.boards.catalogue,
        images=kiln.boards.flash,
        manifest=manifest,
        agent=device_routes.first_agent,
        trust=lambda: kiln.keys.root().entries(),
        where=device_routes.where(kiln.settings),
        authority=device_authority(*kiln.settings.device_authorities),
    )
