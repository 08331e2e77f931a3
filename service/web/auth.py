"""Who is asking, and whether they may (`service.domain.rights`)."""

import dataclasses
import datetime
import hmac
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.errors import BadSignatureError, ForbiddenError, NotFoundError
from service.domain.repository import Repository
from service.domain.rights import (
    ADMINISTRATOR,
    Administrator,
    Anonymous,
    Principal,
    Right,
    Token,
    TokenId,
    User,
    allows,
)
from service.ports import ApiTokens, Clock, Tokens
from service.records import People
from service.web.attempts import Attempts
from service.web.origin import SAFE, is_foreign_script, is_from_our_page

SESSION_S = 14 * 24 * 3600
MAX_TRIES_A_MINUTE = 10  # of the administrator's token, from one address
NOTHING = "there is nothing here that you may see; sign in at /login"
FOREIGN = "this request does not come from a page of this Kiln"
THROUGH = " by token "  # in the name of who acts
_KEY = "kiln.principal"  # in the request's scope, once it is known


class Auth:
    def __init__(
        self,
        admin_token: str,
        *,
        tokens: Tokens,
        api_tokens: ApiTokens,
        people: People,
        clock: Clock,
        base_url: str,
    ) -> None:
        self._admin_token = admin_token.encode()
        self._tokens = tokens
        self._api_tokens = api_tokens
        self._people = people
        self._clock = clock
        self._base_url = base_url
        self._attempts = Attempts(clock, limit=MAX_TRIES_A_MINUTE)
        self.is_secure = base_url.startswith("https:")  # cookies travel over TLS only
        self.cookie = self.cookie_name("kiln_session")

    # -- who

    def principal(self, request: Request) -> Principal:
        """Who is asking. A cookie that does not hold (any more) is nobody's; a token that does not is refused.

        Raises: BadSignatureError, ForbiddenError for a change that no page of ours asked for, HTTPException 429.
        """
        known = request.scope.get(_KEY)
        if known is None:
            known = request.scope[_KEY] = self._find(request)
        found: Principal = known
        return found

    def _find(self, request: Request) -> Principal:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(request, given.strip())
        subject = self._people.session(name, now=self._clock.now()) if (name := self._session(request)) else None
        found = self._people.principal(subject) if subject else None
        if found is None:
            return Anonymous()
        if request.method not in SAFE:
            self.require_our_page(request)
        return found

    def _bearer(self, request: Request, given: str) -> Principal:
        if given.count(".") != 2:  # no JWT, so perhaps the administrator's
            self.check_admin_token(request, given)
            return Administrator()
        said = self._api_tokens.read(given)
        try:
            kept = self._people.token(said.id)
        except NotFoundError as error:
            raise BadSignatureError("the token is not of this Kiln") from error
        if (kept.maker, kept.scopes, kept.repository) != (said.maker, said.scopes, said.repository):
            raise BadSignatureError("the token is not of this Kiln")
        if kept.revoked_at is not None:
            raise BadSignatureError("the token was revoked")
        maker = self._people.principal(kept.maker)
        if maker is None:
            raise BadSignatureError("whoever made this token is not known here any more")
        self._people.token_used(kept.id, now=self._clock.now())
        return Token(id=kept.id, maker=maker, scopes=kept.scopes, repository=kept.repository)

    def check_admin_token(self, request: Request, given: str) -> None:
        """Raises: BadSignatureError; HTTPException 429 after MAX_TRIES_A_MINUTE wrong ones, without a look at this."""
        self._attempts.check(request)
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._admin_token):
            self._attempts.count(request)
            raise BadSignatureError("that is not the administrator's token, nor one that Kiln made")

    def name(self, request: Request) -> str:
        """For the record of who did what."""
        found = self.principal(request)
        if isinstance(found, Token):
            return f"{subject_of(found.maker)}{THROUGH}{found.id}"
        return "" if isinstance(found, Anonymous) else subject_of(found)

    # -- whether

    def is_admin(self, request: Request) -> bool:
        return allows(self.principal(request), Right.ADMIN)

    def may(self, request: Request, right: Right, repository: Repository | None = None) -> bool:
        return allows(self.principal(request), right, repository)

    def require_admin(self, request: Request) -> None:
        """Raises: BadSignatureError for a stranger; ForbiddenError."""
        self.require(request, Right.ADMIN)

    def require_view(self, request: Request, repository: Repository) -> None:
        """Raises: NotFoundError, so that a private repository looks like none at all."""
        self.require(request, Right.VIEW, repository)

    def require(
        self, request: Request, right: Right, repository: Repository | None = None, *, hides: bool = False
    ) -> None:
        """Raises: NotFoundError when the repository is not theirs to see; else BadSignatureError for a stranger, who
        should sign in, and ForbiddenError for whom we know.

        What `hides` is not public with its repository: to whom that gave nothing, it is not there.
        """
        principal = self.principal(request)
        if allows(principal, right, repository):
            return
        if repository is not None:
            seen = dataclasses.replace(repository, public=False) if hides else repository
            if not allows(principal, Right.VIEW, seen):
                raise NotFoundError(NOTHING)
        if isinstance(principal, Anonymous):
            wanted = "this needs the administrator's token"
            if right is not Right.ADMIN:
                wanted = f"this needs right {right.value}"
            raise BadSignatureError(f"{wanted}: Authorization: Bearer ..., or sign in at /login")
        of = "this Kiln" if repository is None else repository.id
        raise ForbiddenError(f"this needs right {right.value} of {of}, which you or your token do not have")

    def is_known(self, request: Request) -> bool:
        return not isinstance(self.principal(request), Anonymous)

    def require_known(self, request: Request) -> None:
        """Raises: BadSignatureError for a stranger."""
        if not self.is_known(request):
            raise BadSignatureError("sign in at /login, or send Authorization: Bearer ...")

    def require_person(self, request: Request) -> Administrator | User:
        """For what programs may not do. Raises: BadSignatureError, ForbiddenError."""
        self.require_known(request)
        found = self.principal(request)
        if not isinstance(found, Administrator | User):
            raise ForbiddenError("an API token cannot do this: sign in, or use the administrator's token")
        return found

    def require_our_page(self, request: Request) -> None:
        """Raises: ForbiddenError."""
        if not is_from_our_page(request, self._base_url):
            raise ForbiddenError(FOREIGN)

    def refuse_foreign_script(self, request: Request) -> None:
        """For streams that scripts read. Raises: ForbiddenError."""
        if is_foreign_script(request, self._base_url):
            raise ForbiddenError(FOREIGN)

    def still_may(self, request: Request, right: Right, repository: Repository) -> bool:
        """As things stand now, however they stood when the request began."""
        request.scope.pop(_KEY, None)
        try:
            return self.may(request, right, repository)
        except (BadSignatureError, ForbiddenError, HTTPException):
            return False

    # -- sessions

    def begin_session(self, request: Request, response: Response, subject: str) -> None:
        """A new name each time, and the browser's older session ends: nobody can plant one beforehand."""
        self.end_session(request, response)
        name, now = secrets.token_urlsafe(24), self._clock.now()
        self._people.begin_session(name, subject, now=now, until=now + datetime.timedelta(seconds=SESSION_S))
        self.set_cookie(response, self.cookie, self._tokens.issue("session", name, expires_s=SESSION_S), SESSION_S)

    def end_session(self, request: Request, response: Response) -> None:
        if name := self._session(request):
            self._people.end_session(name)
        self.set_cookie(response, self.cookie, "", 0)

    def cookie_name(self, name: str) -> str:
        """Over TLS with the prefix that keeps other hosts of the domain from setting it (RFC 6265bis, 4.1.3.2)."""
        return f"__Host-{name}" if self.is_secure else name

    def set_cookie(self, response: Response, name: str, value: str, max_age_s: int) -> None:
        # Lax, not Strict: links from the forge, and its answer to a sign-in, lead here from another site.
        response.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="lax", secure=self.is_secure)

    def _session(self, request: Request) -> str:
        try:
            return self._tokens.check("session", request.cookies.get(self.cookie, ""))
        except BadSignatureError:
            return ""

    # -- before a route

    def recognising(self, route: Route) -> Route:
        """The route, with the principal looked up in a thread before it: the database may be busy."""
        route.app = _Recognised(route.app, self)
        return route


class _Recognised:
    def __init__(self, app: ASGIApp, auth: Auth) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if "authorization" in request.headers or self._auth.cookie in request.cookies:
            await run_in_threadpool(self._auth.principal, request)
        await self._app(scope, receive, send)


def subject_of(principal: Administrator | User) -> str:
    """As sessions and tokens name them."""
    return principal.id if isinstance(principal, User) else ADMINISTRATOR


def may_still(name: str, right: Right, repository: Repository, people: People) -> bool:
    """Whether who acted under this name (`Auth.name`) has the right now. A token that ended by its age was good then;
    one that was revoked is not.
    """
    subject, _, token = name.partition(THROUGH)
    maker = people.principal(subject)
    if maker is None or not token:
        return maker is not None and allows(maker, right, repository)
    try:
        kept = people.token(TokenId(token))
    except NotFoundError:
        return False
    found = Token(id=kept.id, maker=maker, scopes=kept.scopes, repository=kept.repository)
    return kept.revoked_at is None and allows(found, right, repository)
