"""Short-lived proofs as JWT (RFC 7519), HS256 with a key of this instance."""

import datetime

import jwt

from service.domain.errors import BadSignatureError
from service.ports import Clock

MAX_TOKEN_CHARS = 1000


class JwtTokens:
    """`service.ports.Tokens` on PyJWT."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def issue(self, purpose: str, subject: str, *, expires_s: int) -> str:
        expires = self._clock.now() + datetime.timedelta(seconds=expires_s)
        return jwt.encode({"aud": purpose, "sub": subject, "exp": expires}, self._key, algorithm="HS256")

    def check(self, purpose: str, token: str) -> str:
        if len(token) > MAX_TOKEN_CHARS:
            raise BadSignatureError("the token is too long to be ours")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=purpose,
                options={"require": ["aud", "sub", "exp"], "verify_exp": False},
            )
            if float(claims["exp"]) < self._clock.now().timestamp():
                raise BadSignatureError("the token has expired")
            return str(claims["sub"])
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            raise BadSignatureError("the token is not ours, or for something else") from error
