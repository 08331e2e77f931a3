"""A limit on tries, by address."""

import ipaddress
from collections import OrderedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.ports import Clock

MINUTE_S = 60
MAX_ADDRESSES = 10_000  # remembered; beyond them the one that began first is forgotten
IPV6_PREFIX = 64  # bits that one customer of a network has to himself


class Attempts:
    """At most `limit` tries a minute from one address; then none until a minute after the first of them."""

    def __init__(self, clock: Clock, *, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._tries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, request: Request) -> None:
        """Raises: HTTPException 429 with Retry-After when there were too many."""
        since, count = self._of(_address(request))
        if count >= self._limit:
            wait = max(1, int(since + MINUTE_S - self._clock.now().timestamp()) + 1)
            sentence = f"too many tries from your address ({self._limit} a minute): wait {wait} seconds"
            raise HTTPException(429, sentence, headers={"Retry-After": str(wait)})

    def count(self, request: Request) -> None:
        """Note a try."""
        address = _address(request)
        since, count = self._of(address)
        self._tries[address] = (since, count + 1)
        if len(self._tries) > MAX_ADDRESSES:
            self._tries.popitem(last=False)

    def _of(self, address: str) -> tuple[float, int]:
        now = self._clock.now().timestamp()
        since, count = self._tries.get(address, (now, 0))
        if now >= since + MINUTE_S:
            self._tries.pop(address, None)
            return now, 0
        return since, count


def _address(request: Request) -> str:
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return host
