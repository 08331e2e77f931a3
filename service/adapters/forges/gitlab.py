"""GitLab's deliveries.

https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

import datetime
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service.adapters.forges import payload, sayings, standard_webhooks
from service.adapters.forges.sayings import About
from service.domain.errors import BadSignatureError, MalformedError
from service.domain.event import Event, EventKind, Request
from service.domain.repository import Check

MAX_EVENT_CHARS = 64

# https://docs.gitlab.com/user/project/merge_requests/drafts/ and the older word, which GitLab before 14.8 took too
_DRAFT = re.compile(r"\s*(?:\[(?:draft|wip)\]|\(draft\)|(?:draft|wip):)", re.IGNORECASE)


def verify(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, check: Check, now: datetime.datetime
) -> None:
    """By the plain token or by the signature, as `check` says: a delivery cannot choose the weaker one.

    Both are worked out whenever they are sent, so that neither time nor words tell which one counts.
    https://docs.gitlab.com/user/project/integrations/webhooks/#create-a-webhook
    """
    token = payload.header(headers, "x-gitlab-token")
    signature = payload.header(headers, standard_webhooks.SIGNATURE)
    if not token and not signature:
        raise BadSignatureError("X-Gitlab-Token or webhook-signature is missing: give the webhook a secret")
    by_token = token != "" and _token_fits(token, secrets)
    by_signature = signature != "" and standard_webhooks.fits(headers, body, secrets, now)
    if not (by_signature if check is Check.SIGNATURE else by_token):
        complaint = standard_webhooks.complaint(headers, now) if signature else ""
        raise BadSignatureError(complaint or "the delivery's token or signature does not fit")


def _token_fits(token: str, secrets: Sequence[str]) -> bool:
    given = _digest(payload.raw(token))
    fits = False
    for secret in secrets:
        fits |= hmac.compare_digest(_digest(secret.encode()), given) and secret != ""
    return fits


def _digest(value: bytes) -> bytes:
    """Both sides get one length, so that the time of the comparison does not tell the secret's."""
    return hashlib.sha256(value).digest()


def decode(headers: Mapping[str, str], body: bytes) -> Event:
    name = payload.header(headers, "x-gitlab-event")
    if not name or len(name) > MAX_EVENT_CHARS or not name.isascii() or not name.replace(" ", "").isalpha():
        raise MalformedError("X-Gitlab-Event is missing or not the name of an event")
    delivery = _delivery(headers, name, body)
    fields = payload.parse(body)
    project = payload.table(fields, "project")
    about = About(
        delivery=delivery,
        path=payload.path(project.get("path_with_namespace")),
        forge_id=payload.number_of(project.get("id")),
    )
    if name not in _DECODERS:
        return about.ignored(f"Kiln does not build on the event {name}")
    return _DECODERS[name](fields, about)


def _delivery(headers: Mapping[str, str], name: str, body: bytes) -> str:
    """`webhook-id` is signed; `Idempotency-Key` is the same id without. GitLab before 17.4 has neither.

    There equal bytes stand for the same delivery: a push that is repeated in every byte finds its first build.
    https://docs.gitlab.com/user/project/integrations/webhooks/#delivery-headers
    """
    identity = payload.header(headers, standard_webhooks.ID) or payload.header(headers, "idempotency-key")
    if identity:
        return payload.delivery_id(identity)
    return f"sha256:{hashlib.sha256(name.encode() + b'.' + body).hexdigest()}"


def _option_says_skip(fields: payload.Fields) -> bool:
    """https://docs.gitlab.com/topics/git/commit/#push-options-for-gitlab-cicd"""
    options = fields.get("push_options")
    ci = options.get("ci") if isinstance(options, dict) else None
    return isinstance(ci, dict) and bool(ci.get("skip"))


def _push(fields: payload.Fields, about: About) -> Event:
    """https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events"""
    ref, after = payload.text(fields, "ref"), payload.text(fields, "after")
    # `after` of an annotated tag is the tag object; checkout_sha is the commit, and null when the ref is gone.
    plain = None if ref.startswith("refs/tags/") else after
    checkout = fields.get("checkout_sha")
    commit = checkout if isinstance(checkout, str) else plain
    head = _head(fields, commit)
    message = head.get("message")
    said = sayings.Push(
        ref=ref,
        before=fields.get("before"),
        after=after,
        commit=commit,
        message=message if isinstance(message, str) else "",
        author=payload.table(head, "author").get("name"),
        commits=payload.tables(fields, "commits"),
        commits_in_all=fields.get("total_commits_count"),
        tag_message=fields.get("message"),
        # Not known: GitLab does not say whether a push was forced, and what that took away is in no list.
        changed=lambda: None,
    )
    event = sayings.push(about, said)
    if event.kind is not EventKind.DELETED and _option_says_skip(fields):
        return about.skipped("the push option ci.skip asks to skip it", event.ref, event.commit, event.before)
    return event


def _head(fields: payload.Fields, commit: str | None) -> payload.Fields:
    """The commit among the (at most 20) that are listed; an empty object when it is not."""
    return next((each for each in payload.tables(fields, "commits") if each.get("id") == commit), {})


def _merge_request(fields: payload.Fields, about: About) -> Event:
    """https://docs.gitlab.com/user/project/integrations/webhook_events/#merge-request-events"""
    asked = payload.table(fields, "object_attributes")
    action, number = payload.line(asked.get("action")), payload.number_of(asked.get("iid"))
    ref = f"refs/merge-requests/{number}/head"
    was_draft, is_draft = _drafts(fields, asked)
    if action in {"close", "merge"} or (action == "update" and is_draft and not was_draft):
        return about.stopped(EventKind.CLOSED, ref)
    became_ready = action == "update" and was_draft and not is_draft
    moved = asked.get("oldrev") if action == "update" else None  # there only when the commits changed
    if action not in {"open", "reopen"} and not became_ready and not moved:
        return about.ignored(f"Kiln does nothing on the merge request's {action or 'change'} without new commits")
    if is_draft:
        return about.ignored("the request is a draft: it is built once it is ready")
    head = payload.table(asked, "last_commit")
    message = head.get("message")
    if isinstance(message, str) and sayings.says_skip(message):
        return about.ignored("the commit's message asks to skip it")
    event = sayings.request(
        about,
        ref,
        Request(number=int(number or 0), is_fork=_is_fork(asked)),
        commit=payload.text(head, "id"),
        before=moved,
        title=asked.get("title"),
    )
    return replace(event, author=payload.line(payload.table(head, "author").get("name")))


def _drafts(fields: payload.Fields, asked: payload.Fields) -> tuple[bool, bool]:
    """Whether it was a draft before this delivery, and whether it is one now."""
    is_draft = asked.get("draft") is True or asked.get("work_in_progress") is True
    changes = payload.table(fields, "changes")
    draft, title = payload.table(changes, "draft"), payload.table(changes, "title")
    if isinstance(draft.get("previous"), bool):
        return draft["previous"] is True, is_draft
    previous = title.get("previous")  # before GitLab 16 the title alone tells
    return (_DRAFT.match(previous) is not None if isinstance(previous, str) else is_draft), is_draft


def _is_fork(asked: payload.Fields) -> bool:
    """Whatever is not surely a branch of the project itself. The project of a fork that was deleted is null."""
    source = payload.number_of(asked.get("source_project_id"))
    return source == "" or source != payload.number_of(asked.get("target_project_id"))


_DECODERS: dict[str, Callable[[payload.Fields, About], Event]] = {
    "Push Hook": _push,
    "Tag Push Hook": _push,
    "Merge Request Hook": _merge_request,
}
