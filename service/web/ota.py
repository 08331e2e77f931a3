"""What devices fetch (docs/ota.md, Fetch)."""

import asyncio
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain import bundle, pack
from service.domain.device import Device
from service.domain.errors import NotFoundError
from service.domain.release import ReleaseDigest
from service.flows import shorten
from service.ports import Objects
from service.records import Agents, Builds, Fleet
from service.web.device_auth import device_of
from service.web.packer import Packer
from service.web.ranges import ranged_response

# Devices whose right is looked up at once; the others of a fleet that was told wait. More would take turns with each
# other and not be faster, and who tells the rest of the fleet would wait for them all.
HANDS = 4

# The same for every device, but for those of this repository only; and a digest is checked, not an encoding.
_HEADERS = {"Cache-Control": "private, no-transform"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ota:
    builds: Builds
    agents: Agents
    fleet: Fleet
    objects: Objects
    packer: Packer
    _hands: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HANDS))

    def routes(self) -> list[Route]:
        here = "/ota/v1/releases/{digest}"
        return [
            Route(f"{here}/bundle", self.bundle, methods=["GET", "HEAD"]),
            Route(f"{here}/pack", self.older_pack, methods=["GET", "HEAD"]),
            Route(f"{here}/pack/2", self.pack, methods=["GET", "HEAD"]),
        ]

    async def bundle(self, request: Request) -> Response:
        """A bundle of the device's own repository, or of the agent. Never a redirect: small clients store its body."""
        async with self._hands:  # by one hand all of it: to hand it over takes longer than to look
            found = await run_in_threadpool(self._wanted, request)
        return await ranged_response(self.objects, found, request, media_type=bundle.MEDIA_TYPE, headers=_HEADERS)

    def _wanted(self, request: Request) -> str:
        return self._object(self._device(request), ReleaseDigest(request.path_params["digest"]))

    def _object(self, device: Device, digest: ReleaseDigest) -> str:
        try:
            found = self.builds.bundle(digest)
        except NotFoundError:
            return self.agents.get(digest).object_digest
        release = self.builds.release(found.build)
        if release is None or release.repository != device.repository:
            raise NotFoundError("no such release")
        if release.withdrawn_at is not None:  # an order of before may lie on a device that sleeps
            raise NotFoundError("this release was withdrawn")
        return found.object_digest

    async def pack(self, request: Request) -> Response:
        """What differs from the release `from`; 404 where the device is to take the bundle."""
        return await self._pack(request, pack.VERSION)

    async def older_pack(self, request: Request) -> Response:
        """The same for agents from before version 2 of the format."""
        return await self._pack(request, 1)

    async def _pack(self, request: Request, version: int) -> Response:
        async with self._hands:
            older, newer = await run_in_threadpool(self._both, request)
        kept = await self.packer.get(older, newer, version)
        return await ranged_response(self.objects, kept.digest, request, media_type=pack.MEDIA_TYPE, headers=_HEADERS)

    def _both(self, request: Request) -> tuple[ReleaseDigest, ReleaseDigest]:
        """Of which release to which. Raises: BadSignatureError, NotFoundError."""
        device, newer = self._device(request), ReleaseDigest(request.path_params["digest"])
        if newer != device.desired:  # else one stolen token could have a pack made of every two releases
            raise NotFoundError("no pack: another release is ordered")
        self._object(device, newer)
        older = ReleaseDigest(request.query_params.get("from", ""))
        shorten.check(older, newer, repository=device.repository, builds=self.builds)
        return older, newer

    def _device(self, request: Request) -> Device:
        return device_of(request, self.fleet).device
