"""GitHub's deliveries, and those of our own hook for local repositories, which have the same shape.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from service.adapters.forges import payload
from service.domain.errors import BadSignatureError, MalformedError
from service.domain.event import Event, EventKind

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FORM = b"payload="


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """SHA-256 only: the older `X-Hub-Signature` (SHA-1) is not looked at, so nobody can fall back to it.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    given = payload.header(headers, "x-hub-signature-256")
    if not given:
        raise BadSignatureError("X-Hub-Signature-256 is missing: give the webhook a secret")
    signature = given.encode("utf-8", "replace")  # bytes: compare_digest refuses text that is not ASCII
    fits = False
    for secret in secrets:
        wanted = b"sha256=" + hmac.digest(secret.encode(), body, "sha256").hex().encode()
        fits |= hmac.compare_digest(wanted, signature) and secret != ""
    if not fits:
        raise BadSignatureError("the delivery's signature does not fit")


def decode(headers: Mapping[str, str], body: bytes) -> Event:
    name = payload.header(headers, "x-github-event")
    if _EVENT.fullmatch(name) is None:
        raise MalformedError("X-GitHub-Event is missing or not the name of an event")
    delivery = payload.delivery_id(payload.header(headers, "x-github-delivery"))
    fields = payload.parse(_json_of(body))
    path = payload.path(payload.table(fields, "repository").get("full_name"))
    if name == "ping":
        return Event(kind=EventKind.PING, delivery=delivery, path=path)
    if name != "push":
        return payload.ignored(delivery, f"Kiln does not build on the event {name}", path=path)
    return _push(fields, delivery, path)


def _json_of(body: bytes) -> bytes:
    """The JSON of either content type, told apart by the bytes: the header Content-Type is not signed.

    Were it believed, a signed JSON body with `&payload=...` in a commit's message could be sent again as a form.
    """
    if not body.startswith(_FORM):
        return body
    encoded = body.removeprefix(_FORM)
    if b"&" in encoded:
        raise MalformedError("the form has more fields than payload: choose application/json for the webhook")
    return unquote_to_bytes(encoded.replace(b"+", b" "))


def _push(fields: payload.Fields, delivery: str, path: str) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#push"""
    ref, after = payload.text(fields, "ref"), payload.text(fields, "after")
    head = payload.table(fields, "head_commit")
    # `after` of an annotated tag is the tag object; head_commit is the commit in every case.
    plain = None if ref.startswith("refs/tags/") else after
    commit = payload.text(head, "id") if head else plain
    return payload.push(
        delivery=delivery,
        path=path,
        ref=ref,
        after=after,
        commit=commit,
        message=payload.text(head, "message") if head else "",
        author=payload.line(payload.table(head, "author").get("name")),
    )
