"""GitHub's deliveries, and those of our own hook for local repositories, which have the same shape.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import datetime
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from service.adapters.forges import github_life, payload, sayings
from service.adapters.forges.sayings import About
from service.domain.errors import BadSignatureError, MalformedError
from service.domain.event import QUEUE_REFS, Event, EventKind, Request
from service.domain.repository import Check

MAX_COMMITS = 2048  # GitHub lists no more of a push

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FORM = b"payload="
_BUILD = re.compile(r"([1-9][0-9]{0,17})(?:/.*)?")  # `<build>` or `<build>/<board>`, as we told GitHub


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    check: Check = Check.TOKEN,
    now: datetime.datetime | None = None,
) -> None:
    """SHA-256 only: the older `X-Hub-Signature` (SHA-1) is not looked at, so nobody can fall back to it.

    GitHub has this one proof, and signs no time: `check` and `now` are for others.
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
    repository = payload.table(fields, "repository")
    about = About(
        delivery=delivery,
        path=payload.path(repository.get("full_name")),
        forge_id=payload.number_of(repository.get("id")),
    )
    if name not in _DECODERS:
        return about.ignored(f"Kiln does not build on the event {name}")
    return _DECODERS[name](fields, about)


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


def _ping(_fields: payload.Fields, about: About) -> Event:
    return about.event(EventKind.PING)


def _push(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#push"""
    ref, after = payload.text(fields, "ref"), payload.text(fields, "after")
    if ref.startswith(QUEUE_REFS):
        return about.ignored("this is the merge queue's own branch: the event merge_group has it built")
    head = payload.table(fields, "head_commit")
    # `after` of an annotated tag is the tag object; head_commit is the commit in every case.
    plain = None if ref.startswith("refs/tags/") else after
    said = sayings.Push(
        ref=ref,
        before=fields.get("before"),
        after=after,
        commit=payload.text(head, "id") if head else plain,
        message=payload.text(head, "message") if head else "",
        author=payload.table(head, "author").get("name"),
        commits=payload.tables(fields, "commits"),
        tag_message=fields.get("message"),  # our own hook says it, GitHub does not
        changed=lambda: _changed(fields, after),
    )
    return sayings.push(about, said)


def _changed(fields: payload.Fields, after: str) -> tuple[str, ...] | None:
    """What a forced push took away is in no list, and a list that was cut off does not end with the head."""
    commits = payload.tables(fields, "commits")
    is_whole = 0 < len(commits) < MAX_COMMITS and commits[-1].get("id") == after
    return sayings.touched(commits) if is_whole and fields.get("forced") is False else None


def _pull_request(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request"""
    action, asked = github_life.action(fields), payload.table(fields, "pull_request")
    if action not in {"opened", "reopened", "synchronize", "ready_for_review", "closed", "converted_to_draft"}:
        return github_life.unwanted(about, "pull_request", action)
    number = payload.number_of(asked.get("number"))
    ref = f"refs/pull/{number}/head"
    if action in {"closed", "converted_to_draft"}:
        return about.stopped(EventKind.CLOSED, ref)
    if asked.get("draft") is True:
        return about.ignored("the request is a draft: it is built once it is ready for review")
    head, base = payload.table(asked, "head"), payload.table(asked, "base")
    event = sayings.request(
        about,
        ref,
        Request(number=int(number or 0), is_fork=_is_fork(head, base)),
        commit=payload.text(head, "sha"),
        before=fields.get("before"),
        title=asked.get("title"),
    )
    return replace(event, author=payload.line(payload.table(asked, "user").get("login")))


def _is_fork(head: payload.Fields, base: payload.Fields) -> bool:
    """Whatever is not surely a branch of the repository itself. A fork that was deleted is null."""
    theirs, ours = payload.table(head, "repo"), payload.table(base, "repo")
    name = payload.number_of(theirs.get("id"))
    return name == "" or name != payload.number_of(ours.get("id")) or theirs.get("fork") is not False


def _merge_group(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#merge_group"""
    action, group = github_life.action(fields), payload.table(fields, "merge_group")
    if action not in {"checks_requested", "destroyed"}:
        return github_life.unwanted(about, "merge_group", action)
    ref = payload.text(group, "head_ref")
    stopped = about.stopped(EventKind.CLOSED, ref)
    if action == "destroyed" or stopped.kind is EventKind.IGNORED:
        return stopped
    head = payload.table(group, "head_commit")
    return replace(
        about.event(EventKind.MERGE_GROUP),
        ref=ref,
        commit=payload.commit_of(group.get("head_sha")),
        title=payload.line(head.get("message")),
        author=payload.line(payload.table(head, "author").get("name")),
    )


def _check_run(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_run"""
    action, run = github_life.action(fields), payload.table(fields, "check_run")
    if action not in {"rerequested", "requested_action"}:
        return github_life.unwanted(about, "check_run", action)
    external = run.get("external_id")
    build = _BUILD.fullmatch(external) if isinstance(external, str) else None
    if build is None:
        return about.ignored("the check is not one of Kiln's")
    about.needs_path()
    return replace(about.event(EventKind.RERUN), build=build[1], commit=payload.commit_of(run.get("head_sha")))


def _check_suite(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite"""
    action, suite = github_life.action(fields), payload.table(fields, "check_suite")
    if action != "rerequested":
        return github_life.unwanted(about, "check_suite", action)
    about.needs_path()
    return replace(about.event(EventKind.RERUN), commit=payload.commit_of(suite.get("head_sha")))


_DECODERS: dict[str, Callable[[payload.Fields, About], Event]] = {
    "ping": _ping,
    "push": _push,
    "pull_request": _pull_request,
    "merge_group": _merge_group,
    "check_run": _check_run,
    "check_suite": _check_suite,
    **github_life.DECODERS,
}
