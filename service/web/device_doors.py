"""What a device asks about itself over HTTP (docs/ota.md, Fetch): its order, its configuration, its report."""

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.device import MAX_REPORT_BYTES, Device
from service.domain.errors import KilnError, NotFoundError
from service.records import Configurations, Fleet
from service.web.bodies import read
from service.web.device_auth import Asking, named_device

BINARY = "application/octet-stream"
PRIVATE = {"Cache-Control": "no-store"}

logger = logging.getLogger("kiln.devices")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDoors:
    """`take_report` is the same that the broker's messages go through; `follow` is `flows.credentials.follow`."""

    fleet: Fleet
    configurations: Configurations
    take_report: Callable[[str, bytes], object]
    follow: Callable[[Device, str], None]

    def routes(self) -> list[Route]:
        here = "/ota/v1/devices/{device}"
        return [
            Route(f"{here}/desired", self.desired, methods=["GET"]),
            Route(f"{here}/config/{{digest}}", self.config, methods=["GET"]),
            Route(f"{here}/report", self.report, methods=["POST"]),
        ]

    async def desired(self, request: Request) -> Response:
        """The newest order; 204 when there is none."""
        asking = await named_device(request, self.fleet)
        await self._follow(asking, asking.token)
        notice = await run_in_threadpool(self.fleet.notice, asking.device.id)
        if notice is None:
            return Response(status_code=204, headers=PRIVATE)
        return Response(notice, media_type="application/jose", headers=PRIVATE)

    async def config(self, request: Request) -> Response:
        """The device's own configuration, and of these the newest only: an older one may hold what was taken back."""
        asking = await named_device(request, self.fleet)
        kept = await run_in_threadpool(self.configurations.get, asking.device.id)
        if not kept.digest or not hmac.compare_digest(kept.digest.encode(), request.path_params["digest"].encode()):
            raise NotFoundError("no such configuration")
        await self._follow(asking, "")
        return Response(kept.content, media_type=BINARY, headers=PRIVATE)

    async def report(self, request: Request) -> Response:
        asking = await named_device(request, self.fleet)
        payload = await read(request, MAX_REPORT_BYTES)
        await self._follow(asking, asking.token)
        await run_in_threadpool(self.take_report, asking.device.id, payload)
        return Response(status_code=204, headers=PRIVATE)

    async def _follow(self, asking: Asking, token: str) -> None:
        await followed(asking, token, self.follow)


async def followed(asking: Asking, token: str, follow: Callable[[Device, str], None]) -> None:
    """Nothing but a call of `follow`; its failure is no matter of who asks."""
    try:
        await run_in_threadpool(follow, asking.device, token)
    except KilnError as error:  # the device has what it asked for, and asks again
        logger.warning("token not followed", extra={"device": asking.device.id, "reason": str(error)})
