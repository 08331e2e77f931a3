"""Short-lived proofs as JWT (RFC 7519), HS256 with a key of this instance."""

import datetime
from typing import Any

import jwt

from service.domain.errors import BadInputError, BadSignatureError
from service.domain.person import ApiToken, parse_scopes, scope_text
from service.domain.repository import RepositoryId
from service.domain.rights import TokenId
from service.ports import Clock

MAX_TOKEN_CHARS = 1000
MAX_API_TOKEN_CHARS = 2000
API = "api"  # the audience of API tokens


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


class JwtApiTokens:
    """`service.ports.ApiTokens` on PyJWT. Issuer is the instance: another one has another key, too."""

    def __init__(self, key: bytes, clock: Clock, *, instance: str) -> None:
        self._key = key
        self._clock = clock
        self._instance = instance

    def write(self, token: ApiToken) -> str:
        claims: dict[str, Any] = {
            "iss": self._instance,
            "aud": API,
            "jti": token.id,
            "sub": token.maker,
            "scope": scope_text(token.scopes),  # RFC 8693, 4.2
            "iat": int(token.created_at.timestamp()),
            "exp": int(token.expires_at.timestamp()),
        }
        if token.repository is not None:
            claims["repository"] = token.repository
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, text: str) -> ApiToken:
        if len(text) > MAX_API_TOKEN_CHARS:
            raise BadSignatureError("the token is too long to be ours")
        required = ["iss", "aud", "jti", "sub", "scope", "iat", "exp"]
        try:
            claims = jwt.decode(
                text,
                self._key,
                algorithms=["HS256"],
                audience=API,
                issuer=self._instance,
                # The time is our clock's to tell, below.
                options={"require": required, "verify_exp": False, "verify_iat": False},
            )
            created, expires = (datetime.datetime.fromtimestamp(int(claims[n]), datetime.UTC) for n in ("iat", "exp"))
            scopes = parse_scopes(claims["scope"])
        except (jwt.InvalidTokenError, BadInputError, AttributeError, TypeError, ValueError, OverflowError) as error:
            raise BadSignatureError("the token is not of this Kiln") from error
        if expires <= self._clock.now():
            raise BadSignatureError("the token has expired")
        repository = claims.get("repository")
        return ApiToken(
            id=TokenId(claims["jti"]),
            maker=claims["sub"],
            name="",
            scopes=scopes,
            repository=None if repository is None else RepositoryId(repository),
            created_at=created,
            expires_at=expires,
        )
