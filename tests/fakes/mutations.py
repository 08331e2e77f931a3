"""Requests at the door that never were: published deliveries, changed a little, mostly signed all the same."""

import datetime
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from service.domain.repository import Check, Forge, Repository
from tests.fakes.door import SECRET, github_headers, gitlab_headers, repository, sample, sign, signed_by_token
from tests.outside.data import GITLAB_HOOKS, there, webhook_examples

APP, APP_SECRET = "app-1", "the secret of the App's webhook"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LAN = "git.lan:8443"

NAMES = (
    "X-GitHub-Event",
    "x-github-delivery",
    "X-Hub-Signature-256",
    "X-Gitlab-Event",
    "X-Gitlab-Token",
    "Idempotency-Key",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "Content-Length",
    "Content-Encoding",
    "Content-Type",
    "Accept",
)
HEADER_VALUES = (
    "",
    "0",
    "gzip",
    "text/html",
    "99999999999",
    "\x00",
    "ÿ" * 300,
    "sha256=",
    "{}",
    "v1, v1,",
    "-1",
    "push",
)
TOKENS = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"NaN", b"1e999", b'"ref"', b'"after"',
    b'"head_commit"', b'"repository"', b'"refs/heads/x"', b"\\ud800", b"\\u0000", b"\xff", b"\x00", b"0" * 40,
    b"payload=", b"&", b"%00", b"\xf0\x9f\x92\xa9",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1 << 63, 10**400, "", "x", "\x00", "\ud800", "a\nb", "\u202e", "0" * 40, "a" * 40,
    "f" * 64, "A" * 40, "x" * 5000, "refs/heads/x", "refs/heads/--x", "refs/heads/../x", "refs/tags/v1",
    "refs/pull/1/head", "../../etc/passwd", "--upload-pack=x", "$(reboot)", "acme/blink", "[skip ci]", "17", "17/esp32",
    [], {}, [[]], [{}], {"id": 1}, [None, 5, "x"], ["a"] * 2000, {"a": {"b": {"c": []}}},
    "opened", "closed", "update", "rerequested", "deleted",
)  # fmt: skip
WANTED = {"push", "pull_request", "merge_group", "check_run", "check_suite", "repository", "meta", "installation"}
GUIDS = ("a", "", "ÿ", "../x", "x" * 101, "a b")
ODD_TARGETS = (
    "/hooks/github/%00/%ff",
    "/hooks//",
    "/hooks/svn/a/b",
    "/hooks/app/",
    "/hooks/app/none",
    f"/hooks/app/{'x' * 300}",
    "/hooks/gitlab:/a/b",
    "/hooks/gitlab:UPPER/a/b",
    "/hooks/github:github.com/Codertocat/Hello-World",
    "/hooks/github/../../healthz",
    "/hooks/github/" + "a/" * 200,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A published delivery, and the hook that it belongs to."""

    event: str
    payload: dict[str, Any]
    body: bytes
    target: str
    proof: str  # "github", "app", "token" or "signature"
    commit: bytes  # that it has built, if any
    places: tuple[tuple[Any, ...], ...] = field(repr=False)  # where its values are


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def places(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


def origin(event: str, payload: dict[str, Any], target: str, proof: str) -> Origin:
    head = payload.get("pull_request", {}).get("head", {}).get("sha")
    last = payload.get("object_attributes", {}).get("last_commit", {}).get("id")
    group = payload.get("merge_group", {}).get("head_sha")
    commit = (
        payload.get("after", "") if event in {"push", "Push Hook", "Tag Push Hook"} else head or last or group or ""
    )
    return Origin(
        event=event,
        payload=payload,
        body=json.dumps(payload).encode(),
        target=target,
        proof=proof,
        commit=b"" if commit == "0" * 40 else commit.encode(),
        places=tuple(places(payload)),
    )


def origins() -> list[Origin]:
    """Every published delivery, at each hook that it could come to."""
    found = []
    recorded = [("push", json.loads(sample(f"github/push.{name}"))) for name in ("branch-created", "tag")]
    for event, payload in [*webhook_examples(), *recorded * 5]:
        path = payload.get("repository", {}).get("full_name", "")
        weight = 4 if event in WANTED else 1
        found += [origin(event, payload, f"/hooks/app/{APP}", "app")] * weight
        if path:
            found += [origin(event, payload, f"/hooks/github/{path}", "github")] * weight
    found.append(origin("push", recorded[0][1], "/hooks/local/Codertocat/Hello-World", "github"))
    for file in sorted(there(GITLAB_HOOKS).glob("*.json")):
        payload = json.loads(file.read_bytes())
        path = payload.get("project", {}).get("path_with_namespace") or "mike/diaspora"
        names = {"push": "Push Hook", "tag_push": "Tag Push Hook", "merge_request": "Merge Request Hook"}
        event = names.get(payload.get("object_kind"), "Note Hook")
        weight = 1 if event == "Note Hook" else 12
        found += [origin(event, payload, f"/hooks/gitlab/{path}", "token")] * weight
        found += [origin(event, payload, f"/hooks/gitlab:{LAN}/{path}", "signature")] * weight
    return found


def repositories(found: list[Origin]) -> list[Repository]:
    """Those that the deliveries are about, every second one of GitHub's known by its number."""
    made: dict[str, Repository] = {}
    for each in found:
        if each.proof == "app":
            continue
        home, _, path = each.target.removeprefix("/hooks/").partition("/")
        forge, host = Forge(home.partition(":")[0]), home.partition(":")[2]
        number = str(each.payload.get("repository", {}).get("id", "")) if forge is Forge.GITHUB else ""
        made[each.target] = repository(
            forge,
            path,
            host=host,
            secret=KEY if each.proof == "signature" else SECRET,
            check=Check.SIGNATURE if each.proof == "signature" else Check.TOKEN,
            connection=APP if forge is Forge.GITHUB else "",
            forge_id=number if len(made) % 2 else "",
        )
    return list(made.values())


class Mutator:
    """Makes requests up. `now` is the time at the door."""

    def __init__(self, seed: int, found: list[Origin], now: datetime.datetime) -> None:
        self._chance = random.Random(seed)
        self._origins = found
        self._now = now

    def request(self) -> Asked:
        chance = self._chance
        start = chance.choice(self._origins)
        body = self._changed_value(start) if chance.random() < 0.6 else self._changed_bytes(start.body)
        if start.commit and chance.random() < 0.7:  # else all but the first say nothing new
            body = body.replace(start.commit, f"{chance.getrandbits(160):040x}".encode())
        event = start.event if chance.random() < 0.95 else chance.choice(("push", "Push Hook", "ping", "Ü", ""))
        headers = self._headers(start.proof, event, body)
        for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 1, 2))):
            headers[chance.choice(NAMES)] = chance.choice(HEADER_VALUES)
        target = start.target
        if chance.random() < 0.05:
            target = chance.choice((*ODD_TARGETS, chance.choice(self._origins).target))
        method = "POST" if chance.random() < 0.98 else chance.choice(("GET", "PUT", "BREW"))
        return Asked(method=method, target=target, headers=headers, body=body)

    def _headers(self, proof: str, event: str, body: bytes) -> dict[str, str]:
        chance = self._chance
        guid = f"{chance.getrandbits(64):x}" if chance.random() < 0.95 else chance.choice(GUIDS)
        is_right = chance.random() < 0.93
        if proof == "token":
            return gitlab_headers(event, delivery=guid, secret=SECRET if is_right else "wrong")
        if proof == "signature":
            off = 0 if is_right else chance.choice((-301, 301, 10**9))
            at = self._now + datetime.timedelta(seconds=off)
            return signed_by_token(body, KEY, identity=guid.replace("ÿ", "y"), at=at, event=event)
        secret = (APP_SECRET if proof == "app" else SECRET) if is_right else "wrong"
        return {**github_headers(b"", event, delivery=guid), "X-Hub-Signature-256": sign(body, secret)}

    def _changed_bytes(self, body: bytes) -> bytes:
        chance, changed = self._chance, bytearray(body)
        for _ in range(chance.choice((0, 1, 1, 2, 8))):
            start = chance.randrange(len(changed) + 1)
            stop = start + chance.choice((0, 1, 1, 5, 200))
            changed[start:stop] = chance.choice(TOKENS) * chance.choice((1, 1, 1, 3, 500))
        return bytes(changed)

    def _changed_value(self, start: Origin) -> bytes:
        """Other values in one to three places of it; the payload itself stays as it was."""
        chance, undo = self._chance, []
        try:
            for place in chance.choices(start.places, k=chance.choice((1, 1, 2, 3))):
                inner: Any = start.payload
                try:
                    for step in place[:-1]:
                        inner = inner[step]
                    old = inner[place[-1]]
                except (KeyError, IndexError, TypeError):  # an outer place was changed before
                    continue
                if isinstance(inner, dict | list):
                    undo.append((inner, place[-1], old))
                    inner[place[-1]] = chance.choice(VALUES)
            return json.dumps(start.payload).encode()
        finally:
            for inner, key, value in reversed(undo):
                inner[key] = value
