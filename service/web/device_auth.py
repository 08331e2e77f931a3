"""Which device is asking: its id and its token, in headers (docs/ota.md, Fetch)."""

import hmac
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.domain.device import Device, device_id
from service.domain.errors import BadInputError, BadSignatureError, NotFoundError
from service.flows.enrol import token_digest
from service.records import Fleet


@dataclass(frozen=True, slots=True)
class Asking:
    device: Device
    token: str = field(repr=False)


def device_of(request: Request, fleet: Fleet) -> Asking:
    """Who is asking. Raises: BadSignatureError, in the same words whether the device or the token is wrong."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        device = fleet.device(device_id(request.headers.get("x-kiln-device", "")))
    except (BadInputError, NotFoundError):
        device = None
    known = device is not None and device.retired_at is None
    right = [device.token_digest, device.new_token_digest] if device is not None and known else [None, None]
    # The same work whatever is wrong; a digest of nothing fits no token that has one.
    given = token_digest(token)
    fits = [hmac.compare_digest(given, each or "") for each in right]
    if device is None or not known or not any(fits) or scheme.lower() != "bearer":
        raise BadSignatureError("not a device of this Kiln, or not its token")
    return Asking(device, token)


async def named_device(request: Request, fleet: Fleet) -> Asking:
    """Who is asking about itself: the device that the address names. Raises: BadSignatureError, NotFoundError."""
    asking = await run_in_threadpool(device_of, request, fleet)
    if request.path_params["device"] != asking.device.id:
        raise NotFoundError("no such device, or it is not you")
    return asking
