"""How errors look from outside."""

import asyncio
import json
import logging

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from service.domain.errors import (
    BadInputError,
    BadSignatureError,
    BrokerError,
    ConflictError,
    KilnError,
    MalformedError,
    NotFoundError,
    ObjectsError,
    OutsideError,
    SourceError,
    TooLargeError,
)
from service.web.errors import LastResort, error_response, exception_handlers, status_of
from tests.fakes.asgi import Reply, ask


def reply_to(error: Exception, accept: str = "*/*") -> Reply:
    def fail(request: Request) -> Response:
        raise error

    async def endpoint(request: Request) -> Response:
        return fail(request)

    app = Starlette(
        routes=[Route("/", endpoint)], middleware=[Middleware(LastResort)], exception_handlers=exception_handlers()
    )
    return asyncio.run(ask(app, "GET", "/", headers={"Accept": accept}))


def subclasses(kind: type[KilnError]) -> set[type[KilnError]]:
    return {kind, *(each for direct in kind.__subclasses__() for each in subclasses(direct))}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadSignatureError, 401),
        (MalformedError, 400),
        (TooLargeError, 413),
        (ConflictError, 409),
        (BadInputError, 400),
        (NotFoundError, 404),
    ],
)
def test_an_error_of_the_caller_says_what_to_fix(error: type[KilnError], status: int) -> None:
    reply = reply_to(error("fix line 3"))

    assert (reply.status, reply.fields) == (status, {"error": "fix line 3"})
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("error", [OutsideError, ObjectsError, BrokerError, SourceError])
def test_a_failure_outside_is_worth_a_retry_and_names_no_system(
    error: type[KilnError], caplog: pytest.LogCaptureFixture
) -> None:
    reply = reply_to(error("s3.internal:9000 refused"))

    assert (reply.status, reply.headers["retry-after"]) == (503, "30")
    assert b"s3.internal" not in reply.body
    assert [record.getMessage() for record in caplog.records] == ["another system failed"]


def test_every_error_below_the_root_has_a_status() -> None:
    assert {each for each in subclasses(KilnError) if status_of(each()) == 500} == {KilnError}


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), KilnError("secret detail"), RecursionError()])
def test_a_bug_is_logged_once_and_told_by_its_id(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    reply = reply_to(error)

    assert reply.status == 500
    assert sorted(reply.fields) == ["error", "request"]
    assert b"detail" not in reply.body
    assert [record.__dict__["request"] for record in caplog.records] == [reply.fields["request"]]


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"])
def test_who_asks_for_text_gets_the_sentence(accept: str) -> None:
    reply = reply_to(NotFoundError("no such build"), accept)

    assert (reply.headers["content-type"], reply.body) == ("text/plain; charset=utf-8", b"no such build\n")
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/html, application/json", "é"])
def test_everybody_else_gets_json(accept: str) -> None:
    assert reply_to(NotFoundError("no such build"), accept).fields == {"error": "no such build"}


def test_starlettes_own_errors_have_the_same_shape_and_keep_their_headers() -> None:
    reply = reply_to(HTTPException(418, "short and stout", {"X-Pot": "tea"}))

    assert (reply.status, reply.fields, reply.headers["x-pot"]) == (418, {"error": "short and stout"}, "tea")


def test_a_status_without_a_body_has_none() -> None:
    assert reply_to(HTTPException(304)).body == b""


def test_any_sentence_can_be_encoded() -> None:
    assert json.loads(bytes(error_response("", 400, "\ud800é").body)) == {"error": "\ud800é"}
    assert error_response("text/plain", 400, "\ud800é").body == "?é\n".encode()


def test_a_failure_after_the_answer_began_is_logged_and_adds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    reply = asyncio.run(ask(LastResort(half), "GET", "/"))

    assert (reply.status, reply.body, len(caplog.records)) == (200, b"", 1)


def test_other_protocols_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        pass

    asyncio.run(LastResort(app)({"type": "lifespan"}, receive, send))

    assert seen == ["lifespan"]
