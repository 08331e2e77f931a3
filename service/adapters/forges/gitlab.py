"""GitLab's deliveries.

https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from service.adapters.forges import payload
from service.domain.errors import BadSignatureError, MalformedError
from service.domain.event import Event

MAX_EVENT_CHARS = 64
_PUSHES = ("Push Hook", "Tag Push Hook")


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """https://docs.gitlab.com/user/project/integrations/webhooks/#create-a-webhook"""
    given = payload.header(headers, "x-gitlab-token")
    if not given:
        raise BadSignatureError("X-Gitlab-Token is missing: give the webhook a secret token")
    token = _digest(_raw(given))
    fits = False
    for secret in secrets:
        fits |= hmac.compare_digest(_digest(secret.encode()), token) and secret != ""
    if not fits:
        raise BadSignatureError("the delivery's token does not fit")


def _raw(value: str) -> bytes:
    """The header's bytes. Servers hand headers over as Latin-1; a secret of other letters came as UTF-8 in it."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _digest(value: bytes) -> bytes:
    """Both sides get one length, so that the time of the comparison does not tell the secret's."""
    return hashlib.sha256(value).digest()


def decode(headers: Mapping[str, str], body: bytes) -> Event:
    name = payload.header(headers, "x-gitlab-event")
    if not name or len(name) > MAX_EVENT_CHARS or not name.isascii() or not name.replace(" ", "").isalpha():
        raise MalformedError("X-Gitlab-Event is missing or not the name of an event")
    delivery = _delivery(headers, name, body)
    fields = payload.parse(body)
    path = payload.path(payload.table(fields, "project").get("path_with_namespace"))
    if name not in _PUSHES:
        return payload.ignored(delivery, f"Kiln does not build on the event {name}", path=path)
    if _option_says_skip(fields):
        return payload.ignored(delivery, "the push option ci.skip asks to skip it", path=path)
    return _push(fields, delivery, path)


def _delivery(headers: Mapping[str, str], name: str, body: bytes) -> str:
    """`Idempotency-Key` stays the same over retries and resends; GitLab before 17.4 has none.

    There equal bytes stand for the same delivery: a push that is repeated in every byte finds its first build.
    https://docs.gitlab.com/user/project/integrations/webhooks/#delivery-headers
    """
    key = payload.header(headers, "idempotency-key")
    if key:
        return payload.delivery_id(key)
    return f"sha256:{hashlib.sha256(name.encode() + b'.' + body).hexdigest()}"


def _option_says_skip(fields: payload.Fields) -> bool:
    """https://docs.gitlab.com/topics/git/commit/#push-options-for-gitlab-cicd"""
    options = fields.get("push_options")
    ci = options.get("ci") if isinstance(options, dict) else None
    return isinstance(ci, dict) and bool(ci.get("skip"))


def _push(fields: payload.Fields, delivery: str, path: str) -> Event:
    """https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events"""
    ref, after = payload.text(fields, "ref"), payload.text(fields, "after")
    # `after` of an annotated tag is the tag object; checkout_sha is the commit, and null when the ref is gone.
    plain = None if ref.startswith("refs/tags/") else after
    checkout = fields.get("checkout_sha")
    commit = checkout if isinstance(checkout, str) else plain
    head = _head(fields, commit)
    message = head.get("message")
    return payload.push(
        delivery=delivery,
        path=path,
        ref=ref,
        after=after,
        commit=commit,
        message=message if isinstance(message, str) else "",
        author=payload.line(payload.table(head, "author").get("name")),
    )


def _head(fields: payload.Fields, commit: str | None) -> payload.Fields:
    """The commit among the (at most 20) that are listed; an empty object when it is not."""
    commits = fields.get("commits")
    for candidate in commits if isinstance(commits, list) else []:
        if isinstance(candidate, dict) and candidate.get("id") == commit:
            return candidate
    return {}
