"""Who is asking: the administrator, by token or by the cookie of a browser that showed it, or anybody."""

import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.domain.errors import BadSignatureError, NotFoundError
from service.domain.repository import Repository
from service.ports import Tokens

COOKIE = "kiln_session"
SESSION_S = 14 * 24 * 3600
MAX_FORM_BYTES = 4 << 10


class Auth:
    def __init__(self, admin_token: str, tokens: Tokens, *, secure: bool) -> None:
        self._token = admin_token.encode()
        self._tokens = tokens
        self._secure = secure  # the cookie travels over TLS only

    def is_admin(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        try:
            return self._tokens.check("session", request.cookies.get(COOKIE, "")) == "admin"
        except BadSignatureError:
            return False

    def require_admin(self, request: Request) -> None:
        """Raises: BadSignatureError."""
        if not self.is_admin(request):
            raise BadSignatureError("this needs the administrator's token: Authorization: Bearer ...")

    def require_view(self, request: Request, repository: Repository) -> None:
        """Raises: NotFoundError, so that a private repository looks like none at all."""
        if not repository.public and not self.is_admin(request):
            raise NotFoundError("there is nothing here that you may see; sign in at /login")

    def sign_in(self, given: str) -> Response:
        """A redirect with the session cookie. Raises: BadSignatureError."""
        if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token):
            raise BadSignatureError("that is not the administrator's token")
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            COOKIE,
            self._tokens.issue("session", "admin", expires_s=SESSION_S),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=self._secure,
        )
        return response
