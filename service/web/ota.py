"""What devices fetch (docs/ota.md, Fetch)."""

import hmac
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain import bundle, pack
from service.domain.device import Device, device_id
from service.domain.errors import BadInputError, BadSignatureError, NotFoundError
from service.domain.release import ReleaseDigest
from service.flows import shorten
from service.flows.enrol import token_digest
from service.ports import Objects
from service.records import Builds, Fleet
from service.web.packer import Packer
from service.web.ranges import ranged_response

# The same for every device, but for those of this repository only; and a digest is checked, not an encoding.
_HEADERS = {"Cache-Control": "private, no-transform"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ota:
    builds: Builds
    fleet: Fleet
    objects: Objects
    packer: Packer

    def routes(self) -> list[Route]:
        here = "/ota/v1/releases/{digest}"
        return [
            Route(f"{here}/bundle", self.bundle, methods=["GET", "HEAD"]),
            Route(f"{here}/pack", self.pack, methods=["GET", "HEAD"]),
        ]

    async def bundle(self, request: Request) -> Response:
        """A bundle of the device's own repository. Never a redirect: small HTTP clients store its body."""
        device = await run_in_threadpool(self._device, request)
        digest = ReleaseDigest(request.path_params["digest"])
        found = await run_in_threadpool(self.builds.bundle, digest)
        build = await run_in_threadpool(self.builds.build, found.build)
        if build.repository != device.repository:
            raise NotFoundError("no such release")
        return await ranged_response(
            self.objects,
            found.object_digest,
            request,
            media_type=bundle.MEDIA_TYPE,
            headers=_HEADERS,
        )

    async def pack(self, request: Request) -> Response:
        """What differs from the release `from`; 404 where the device is to take the bundle."""
        device = await run_in_threadpool(self._device, request)
        newer = ReleaseDigest(request.path_params["digest"])
        older = ReleaseDigest(request.query_params.get("from", ""))
        await run_in_threadpool(shorten.check, older, newer, repository=device.repository, builds=self.builds)
        kept = await self.packer.get(older, newer)
        return await ranged_response(self.objects, kept.digest, request, media_type=pack.MEDIA_TYPE, headers=_HEADERS)

    def _device(self, request: Request) -> Device:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            device = self.fleet.device(device_id(request.headers.get("x-kiln-device", "")))
        except (BadInputError, NotFoundError):
            device = None
        # The same work and the same answer whether the device or the token is wrong.
        expected = device.token_digest if device else token_digest("")
        if not hmac.compare_digest(token_digest(token), expected) or device is None or scheme.lower() != "bearer":
            raise BadSignatureError("not a device of this Kiln, or not its token")
        return device
