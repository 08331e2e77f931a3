"""Pages of sign-in and sign-out, and of whoever is signed in."""

import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from service.domain.errors import BadInputError, BadSignatureError, ForbiddenError, MalformedError, NotFoundError
from service.domain.person import Door
from service.domain.rights import ADMINISTRATOR, Anonymous, User
from service.ports import Clock, SignIn, Tokens
from service.records import People
from service.web.attempts import Attempts
from service.web.auth import Auth, subject_of
from service.web.bodies import read_form
from service.web.people import PeopleApi
from service.web.sight import Sight

PENDING_S = 600  # from the button to the forge's answer
MAX_SIGN_INS_A_MINUTE = 20  # of one address: each makes us ask a forge
MAX_NEXT_CHARS = 200
MAX_CODE_CHARS = 512
MAX_ANSWERED = 10_000  # answers of forges remembered, so that each counts once
# A path of ours in plain ASCII: no other host (`//host`, `/\host`), no control characters, no blanks.
_NEXT = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_CODE = re.compile(r"[!-~]+")

Page = Callable[..., Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPages:
    auth: Auth
    sight: Sight
    people: People
    api: PeopleApi
    sign_in: SignIn
    tokens: Tokens
    clock: Clock
    base_url: str
    page: Page  # shows a template
    attempts: Attempts
    answered: "Once"

    def routes(self) -> list[Route]:
        return [
            Route("/login", self.show_login, methods=["GET"]),
            Route("/login", self.with_admin_token, methods=["POST"]),
            Route("/login/{door}", self.begin, methods=["GET"]),
            Route("/login/{door}/callback", self.callback, methods=["GET"]),
            Route("/logout", self.sign_out, methods=["POST"]),
            Route("/me", self.show_me, methods=["GET"]),
            Route("/me/tokens", self.add_token, methods=["POST"]),
            Route("/me/tokens/{token}/revoke", self.revoke_token, methods=["POST"]),
        ]

    # -- in

    async def show_login(self, request: Request) -> Response:
        doors = await run_in_threadpool(self.sign_in.doors)
        return self.page("login.html", request, doors=doors, next=safe_next(request.query_params.get("next", "")))

    async def with_admin_token(self, request: Request) -> Response:
        self.auth.require_our_page(request)
        form = await read_form(request)
        self.auth.check_admin_token(request, form.get("token", [""])[0].strip())
        response = RedirectResponse(safe_next(form.get("next", [""])[0]), status_code=303)
        await run_in_threadpool(self.auth.begin_session, request, response, ADMINISTRATOR)
        return response

    async def begin(self, request: Request) -> Response:
        """To the forge. What its answer must fit is bound to this browser by a signed cookie."""
        door = await self._door(request)
        begun = self.sign_in.begin(door, redirect=self._redirect(door))
        pending = {
            "door": door.name,
            "state": begun.state,
            "verifier": begun.verifier,
            "next": safe_next(request.query_params.get("next", "")),
        }
        response = RedirectResponse(begun.url, status_code=303, headers={"Cache-Control": "no-store"})
        proof = self.tokens.issue("sign-in", json.dumps(pending, separators=(",", ":")), expires_s=PENDING_S)
        self.auth.set_cookie(response, self._cookie, proof, PENDING_S)
        return response

    async def callback(self, request: Request) -> Response:
        """From the forge (RFC 6749, 4.1.2)."""
        door = await self._door(request)
        pending = self._pending(request, door)
        if "error" in request.query_params:  # its words are anybody's: not repeated
            raise ForbiddenError(f"{door.label} did not sign you in: begin again at /login")
        code = request.query_params.get("code", "")
        if len(code) > MAX_CODE_CHARS or not _CODE.fullmatch(code):
            raise MalformedError("the forge's answer has no code: begin again at /login")
        self.attempts.check(request)
        self.attempts.count(request)
        if not self.answered.take(pending["state"], self.clock.now().timestamp()):
            raise BadSignatureError("this sign-in is done already: begin again at /login")
        redirect = self._redirect(door)
        verifier = pending["verifier"]
        identity = await run_in_threadpool(
            lambda: self.sign_in.finish(door, code=code, verifier=verifier, redirect=redirect)
        )
        account = await run_in_threadpool(lambda: self.people.signed_in(identity, now=self.clock.now()))
        response = RedirectResponse(safe_next(pending["next"]), status_code=303)
        await run_in_threadpool(self.auth.begin_session, request, response, account.id)
        self.auth.set_cookie(response, self._cookie, "", 0)
        return response

    def _pending(self, request: Request, door: Door) -> dict[str, str]:
        sentence = "this sign-in was not begun in this browser, or over 10 minutes ago: begin again at /login"
        try:
            pending: dict[str, str] = json.loads(self.tokens.check("sign-in", request.cookies.get(self._cookie, "")))
        except BadSignatureError as error:
            raise BadSignatureError(sentence) from error
        given = request.query_params.get("state", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, pending["state"].encode()) or pending["door"] != door.name:
            raise BadSignatureError(sentence)
        return pending

    @property
    def _cookie(self) -> str:
        return self.auth.cookie_name("kiln_sign_in")

    def _redirect(self, door: Door) -> str:
        """From our own settings, never from the request: the forge compares it character by character."""
        return f"{self.base_url}/login/{door.name}/callback"

    async def _door(self, request: Request) -> Door:
        name = request.path_params["door"]
        for each in await run_in_threadpool(self.sign_in.doors):
            if each.name == name:
                return each
        raise NotFoundError("nobody can sign in here; /login shows where")

    # -- out

    async def sign_out(self, request: Request) -> Response:
        self.auth.require_our_page(request)
        response = RedirectResponse("/", status_code=303)
        await run_in_threadpool(self.auth.end_session, request, response)
        return response

    # -- who is signed in

    async def show_me(self, request: Request) -> Response:
        return await self._me(request)

    async def add_token(self, request: Request) -> Response:
        person = self.auth.require_person(request)
        form = await read_form(request)
        fields: dict[str, Any] = {name: form.get(name, [""])[0] for name in ("name", "repository")}
        days = form.get("days", [""])[0]
        if not (days.isascii() and days.isdigit() and len(days) <= 4):
            raise BadInputError("days is a whole number")
        fields |= {"scopes": " ".join(form.get("scope", [])), "days": int(days)}
        token, text = await self.api.make_token(request, person, fields)
        return await self._me(request, shown=(token.name, text))

    async def revoke_token(self, request: Request) -> Response:
        await self.api.revoke(request, self.auth.require_person(request), request.path_params["token"])
        return RedirectResponse("/me", status_code=303)

    async def _me(self, request: Request, *, shown: tuple[str, str] | None = None) -> Response:
        if isinstance(self.auth.principal(request), Anonymous):
            return RedirectResponse("/login?next=/me", status_code=303)
        person = self.auth.require_person(request)
        theirs = await self.sight.visible(request)
        roles = {name: role.value for name, role in person.grants.items()} if isinstance(person, User) else {}
        tokens = await run_in_threadpool(self.people.tokens, subject_of(person))
        values = {"person": person, "repositories": list(theirs.values()), "roles": roles, "shown": shown}
        now = self.clock.now()
        live = [each for each in tokens if each.revoked_at is None and each.expires_at > now]
        return self.page("me.html", request, tokens=live, **values)


def safe_next(text: str) -> str:
    """Where to go after sign-in, if that is a path of ours; else `/`."""
    return text if len(text) <= MAX_NEXT_CHARS and _NEXT.fullmatch(text) else "/"


class Once:
    """Answers of forges that were taken. They expire with their cookies, so a short memory is enough."""

    def __init__(self) -> None:
        self._taken: OrderedDict[str, float] = OrderedDict()

    def take(self, state: str, now: float) -> bool:
        """Whether it is the first time."""
        while self._taken and (
            len(self._taken) >= MAX_ANSWERED or next(iter(self._taken.values())) < now - 2 * PENDING_S
        ):
            self._taken.popitem(last=False)
        if state in self._taken:
            return False
        self._taken[state] = now
        return True
