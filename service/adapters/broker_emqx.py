"""Devices of an EMQX broker (5.7 or later): each has a JWT as its password, and nothing is kept at the broker.

https://docs.emqx.com/en/emqx/latest/access-control/authn/jwt.html, and docs/fleet.md for its configuration. EMQX checks
signature, end and name; only who is retired is told to it, over its REST API, as banned.
"""

import base64
import datetime
import json
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass, field

import jwt

from service.adapters.broker_rights import check_device
from service.domain.errors import BrokerError
from service.ports import Clock

TIMEOUT_S = 10.0
MARK_BYTES = 16  # of chance, so that no two tokens of a device are the same
FOR_GOOD = "2999-01-01T00:00:00Z"  # EMQX ends a ban after five minutes when it is not told when
MIN_SECRET_CHARS = 32
_GONE = 404
_DONE_ALREADY = 400


class EmqxTokens:
    """HS256 (RFC 7519, RFC 7518). At most 250 characters: a device takes 256."""

    def __init__(self, secret: str, clock: Clock, *, days: int) -> None:
        self._secret = secret
        self._clock = clock
        self._life = datetime.timedelta(days=days)

    def new(self, device: str) -> str:
        end = int((self._clock.now() + self._life).timestamp())
        return self._signed({"sub": device, "exp": end})

    def of_the_service(self, user: str) -> str:
        """It is made anew at each start and given to nobody, so it does not end."""
        return self._signed({"sub": user})

    def is_aging(self, token: str) -> bool:
        """Whether less than a third of its life is before it, or EMQX would not take it at all: a board that enrolled
        itself, or was enrolled with another broker, has a token of another kind.
        """
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options={"verify_exp": False})
            end = datetime.datetime.fromtimestamp(int(claims["exp"]), datetime.UTC)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
            return True
        return end - self._clock.now() < self._life / 3

    def _signed(self, claims: dict[str, object]) -> str:
        return jwt.encode({**claims, "jti": secrets.token_urlsafe(MARK_BYTES)}, self._secret, algorithm="HS256")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmqxApi:
    """https://docs.emqx.com/en/emqx/latest/admin/api.html"""

    url: str  # like http://emqx.lan:18083/api/v5
    key: str
    secret: str = field(repr=False)

    def call(self, method: str, path: str, body: dict[str, str] | None = None, *, fine: tuple[int, ...] = ()) -> None:
        """Raises: BrokerError."""
        proof = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {proof}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310  # http or https, see settings
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310  # likewise
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in fine:
                raise BrokerError(f"EMQX answered {error.code} to {method} {path}") from error
        except OSError as error:
            raise BrokerError(f"EMQX's API does not answer: {error}") from error


class EmqxAccounts:
    """`service.ports.BrokerAccounts`, as far as a broker without accounts can be one.

    A token that is replaced is taken by EMQX until it ends; by us it is not, so it fetches nothing and its reports are
    those of a device that is told nothing new.
    """

    def __init__(self, api: EmqxApi | None) -> None:
        """Without the API a retired device is taken by EMQX until its token ends."""
        self._api = api

    def allow(self, device: str, token: str) -> None:
        del token  # its signature is all that EMQX asks for
        check_device(device)
        if self._api is not None:
            self._api.call("DELETE", f"/banned/username/{device}", fine=(_GONE,))

    def allow_also(self, device: str, token: str) -> bool:
        del token
        check_device(device)
        return True

    def forbid(self, device: str) -> None:
        check_device(device)
        if self._api is None:
            return
        ban = {"as": "username", "who": device, "by": "kiln", "reason": "retired", "until": FOR_GOOD}
        self._api.call("POST", "/banned", ban, fine=(_DONE_ALREADY,))
        self._api.call("DELETE", f"/clients/{device}", fine=(_GONE,))

    def names(self) -> set[str]:
        return set()

    def knows(self, device: str, token: str) -> bool:
        del device, token
        return True

    def close(self) -> None:
        """There is no connection."""
