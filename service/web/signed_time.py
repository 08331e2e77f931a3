"""The time, signed for one device's question (docs/ota.md, Time)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.bundle import canonical
from service.domain.device import Device
from service.domain.errors import BadInputError
from service.ports import Clock, Keys
from service.records import Fleet
from service.web.device_auth import named_device
from service.web.device_doors import followed

NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTime:
    fleet: Fleet
    keys: Keys
    clock: Clock
    follow: Callable[[Device, str], None]  # `flows.credentials.follow`

    def routes(self) -> list[Route]:
        return [Route("/ota/v1/devices/{device}/time", self.time, methods=["GET"])]

    async def time(self, request: Request) -> Response:
        """`?nonce=` of 32 hex digits. With the number of the newest order, so that one that is held back is missed."""
        asking = await named_device(request, self.fleet)
        nonce = request.query_params.get("nonce", "")
        if not NONCE.fullmatch(nonce):
            raise BadInputError("nonce is 32 hex digits")
        await followed(asking, asking.token, self.follow)
        said = {
            "v": 1,
            "type": "time",
            "device": asking.device.id,
            "nonce": nonce,
            "time": int(self.clock.now().timestamp()),
            "seq": asking.device.seq,
        }
        token = await run_in_threadpool(self.keys.sign, "director", canonical(said))
        return Response(token, media_type="application/jose", headers={"Cache-Control": "no-store"})
