"""Keys, wired: what is served of them, what administrators do to them, and what is signed again then."""

from starlette.routing import Route

from service import configuring
from service.adapters.boms import CycloneDx
from service.declared import Declared
from service.domain.audit import Deed
from service.domain.build import BuildId
from service.domain.device import Device
from service.domain.provenance import Builder
from service.domain.sealing import Progress
from service.flows import announce, publish, rekey
from service.kiln import VERSION, Kiln
from service.rolling import between_turns, settled
from service.web.auth import Auth
from service.web.keys import KeyApi
from service.web.roots import Roots
from service.web.sealing import SealingApi
from service.web.signed_time import SignedTime


def for_devices(kiln: Kiln) -> list[Route]:
    time = SignedTime(
        fleet=kiln.fleet,
        keys=kiln.keys,
        clock=kiln.clock,
        follow=lambda device, token: _follow(kiln, device, token),
    )
    return [*Roots(keys=kiln.keys).routes(), *time.routes()]


def _follow(kiln: Kiln, device: Device, token: str) -> None:
    """Its order lasts longer than the time that it is told, however wrong our clock is: `announce.written` says why."""
    if announce.renew_one(device, builds=kiln.builds, fleet=kiln.fleet, keys=kiln.keys, clock=kiln.clock):
        kiln.told.ring()
    configuring.follow(kiln, device, token)


def for_people(kiln: Kiln, auth: Auth) -> list[Route]:
    sealing = SealingApi(auth=auth, progress=kiln.sealed.resealer.progress, rotate=lambda by: _rotate_sealing(kiln, by))
    return [*KeyApi(auth=auth, keys=kiln.keys, resign=lambda: resign(kiln)).routes(), *sealing.routes()]


def _rotate_sealing(kiln: Kiln, by: str) -> Progress:
    before, done = kiln.sealed.resealer.progress(), kiln.sealed.resealer.rotate()
    deed = Deed(who=by, what="key.rotated", subject=f"sealing {done.key}", detail=f"instead of {before.key}")
    kiln.audit.note(deed, now=kiln.clock.now())
    return done


def resign(kiln: Kiln) -> rekey.Resigned:
    with between_turns():  # one that is under way may sign by a key that was revoked meanwhile
        pass
    done = rekey.resign(
        rekey.Parts(
            agents=kiln.agents,
            builds=kiln.builds,
            configuring=configuring.parts(kiln, Declared(kiln)),
            fleet=kiln.fleet,
            rollouts=kiln.rollouts,
            keys=kiln.keys,
            clock=kiln.clock,
            publish_anew=lambda build: publish_anew(kiln, build),
            settle=lambda device: settled(kiln, device),
        )
    )
    if done.releases or done.orders:
        detail = f"signed anew: {done.releases} releases, {done.orders} orders"
        kiln.audit.note(Deed(who="kiln", what="key.used", detail=detail), now=kiln.clock.now())
    return done


def note_use(kiln: Kiln) -> None:
    """What the signing keys did since the last time: one entry for each, however many devices were ordered what."""
    for (role, kid), count in sorted(kiln.keys.uses().items()):
        deed = Deed(who="kiln", what="key.used", subject=f"{role} {kid}", detail=f"{count} signatures")
        kiln.audit.note(deed, now=kiln.clock.now())


def publish_anew(kiln: Kiln, build: BuildId) -> None:
    with between_turns():
        publish.publish_anew(build, releasing(kiln))


def releasing(kiln: Kiln) -> publish.Parts:
    return publish.Parts(
        repositories=kiln.repositories,
        builds=kiln.builds,
        channels=kiln.channels,
        objects=kiln.objects,
        keys=kiln.keys,
        boms=CycloneDx(version=VERSION),
        builder=Builder(id=f"{kiln.settings.url}#{kiln.instance.id}", version=VERSION),
        limits=kiln.settings.limits,
        catalogue=kiln.boards.catalogue,
        clock=kiln.clock,
    )
