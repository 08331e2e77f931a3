"""GitHub's recorded deliveries, and what is done to them by people of bad will."""

import json
from urllib.parse import quote_plus

import pytest

from service.adapters.forges import github
from service.domain.errors import MalformedError, TooLargeError
from service.domain.event import Event, EventKind
from service.ports import MAX_DELIVERY_BYTES
from tests.fakes.door import GUID, SECRET, github_headers, sample

COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
TAG_OBJECT = "0123456789abcdef0123456789abcdef01234567"


def decode(body: bytes, event: str = "push") -> Event:
    return github.decode(github_headers(body, event), body)


def branch_push(old: bytes = b"", new: bytes = b"") -> bytes:
    body = sample("github/push.branch-created")
    assert old in body
    return body.replace(old, new)


def test_a_branch_is_built() -> None:
    event = decode(sample("github/push.branch-created"))

    assert event == Event(
        kind=EventKind.PUSH,
        delivery=GUID,
        path="Codertocat/Hello-World",
        forge_id="186853002",
        ref="refs/heads/master",
        commit=COMMIT,
        title="Initial commit",
        author="Codertocat",
        commits=((COMMIT, "Initial commit"),),
    )


def test_a_tag_is_built() -> None:
    event = decode(sample("github/push.tag"))

    assert (event.kind, event.tag, event.commit) == (EventKind.TAG, "simple-tag", COMMIT)


def test_of_an_annotated_tag_the_commit_is_built() -> None:
    body = sample("github/push.tag").replace(f'"after": "{COMMIT}"'.encode(), f'"after": "{TAG_OBJECT}"'.encode())
    assert TAG_OBJECT.encode() in body

    assert decode(body).commit == COMMIT


def test_a_tag_of_no_commit_is_ignored() -> None:
    body = sample("github/push.tag")
    head = body[body.index(b'"head_commit": {') : body.index(b'"repository": {')]

    event = decode(body.replace(head, b'"head_commit": null, '))

    assert (event.kind, event.why) == (EventKind.IGNORED, "the tag does not lead to a commit")


def test_a_deleted_ref_is_built_no_more() -> None:
    event = decode(sample("github/push.tag-deleted"))

    assert (event.kind, event.ref, event.commit) == (EventKind.DELETED, "refs/tags/simple-tag", "")


def test_a_ping_is_a_ping() -> None:
    event = decode(sample("github/ping"), "ping")

    assert (event.kind, event.path) == (EventKind.PING, "Octocoders/Hello-World")


@pytest.mark.parametrize("name", ["star", "delete"])
def test_other_events_are_ignored_with_a_reason(name: str) -> None:
    event = decode(sample(f"github/{name}"), name)

    assert (event.kind, event.why) == (EventKind.IGNORED, f"Kiln does not build on the event {name}")


@pytest.mark.parametrize(
    "words", ["[skip ci]", "[CI Skip]", "[no ci]", "[skip actions]", "[actions skip]", r"\n\nskip-checks: true"]
)
def test_a_commit_may_ask_to_be_skipped(words: str) -> None:
    event = decode(branch_push(b"Initial commit", f"Adding a file {words}".encode()))

    assert event.kind is EventKind.IGNORED


def test_a_word_in_the_text_is_no_trailer() -> None:
    event = decode(branch_push(b"Initial commit", rb"Say skip-checks: true"))

    assert event.kind is EventKind.PUSH


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/--upload-pack=touch pwned",
        "refs/heads/--upload-pack=x",
        "refs/heads/../../etc/passwd",
        r"refs/heads/a\nb",
        r"refs/heads/a\u0000b",
        r"refs/heads/\ud800",
        r"refs/heads/a\u202eb",
        "refs/notes/commits",
        "master",
        "",
        "refs/heads/" + "a" * 255,
    ],
)
def test_a_ref_that_git_or_a_shell_could_misread_starts_nothing(ref: str) -> None:
    event = decode(branch_push(b"refs/heads/master", ref.encode()))

    assert (event.kind, event.ref) == (EventKind.IGNORED, "")


@pytest.mark.parametrize("commit", ["", "abc", "$(reboot)", COMMIT.upper(), COMMIT + "0", f"{COMMIT}\\n"])
def test_a_commit_is_forty_or_sixty_four_digits(commit: str) -> None:
    with pytest.raises(MalformedError):
        decode(branch_push(COMMIT.encode(), commit.encode()))


def test_sixty_four_digits_are_a_commit_too() -> None:
    assert decode(branch_push(COMMIT.encode(), b"ab" * 32)).commit == "ab" * 32


def test_the_title_is_one_short_line_that_a_terminal_can_take() -> None:
    message = rb"\u001b[31mred\ud800\u0007 " + b"x" * 300 + rb"\nsecond line"

    title = decode(branch_push(b"Initial commit", message)).title

    assert title.startswith("[31mred")
    assert len(title) <= 200
    assert title.isprintable()


def test_a_form_is_read_like_json() -> None:
    body = b"payload=" + quote_plus(sample("github/push.tag")).encode()

    assert decode(body) == decode(sample("github/push.tag"))


def test_a_form_has_one_field() -> None:
    with pytest.raises(MalformedError, match="application/json"):
        decode(b"payload=" + quote_plus(sample("github/push.tag")).encode() + b"&payload=%7B%7D")


def test_a_json_body_is_never_read_as_a_form() -> None:
    # The header is not signed: whoever saw a delivery could send it again with another one.
    forged = quote_plus(sample("github/push.tag")).encode()
    body = branch_push(b"Initial commit", b"fix &payload=" + forged + b"&")
    headers = {**github_headers(body), "Content-Type": "application/x-www-form-urlencoded"}

    assert github.decode(headers, body).branch == "master"


MALFORMED = {
    "empty": b"",
    "null": b"null",
    "array": b"[]",
    "number": b"42",
    "open": b"{",
    "crossed": b"{]",
    "two values": b"{} {}",
    "utf-16": "{}".encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "bad utf-8": b'{"ref": "\xff"}',
    "nan": b'{"ref": NaN}',
    "infinity": b'{"ref": -Infinity}',
    "key twice": b'{"ref": "a", "ref": "b"}',
    "inner key twice": b'{"repository": {"full_name": "a/b", "full_name": "c/d"}}',
    "endless integer": b'{"id": ' + b"9" * 5000 + b"}",
    "deep and open": b"[" * 100_000,
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "65 levels": b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}",
    "bad form": b"payload=%ff",
    "empty form": b"payload=",
    "repository is text": b'{"repository": "acme/blink"}',
}


@pytest.mark.parametrize("event", ["push", "star"])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_a_payload_is_malformed(body: bytes, event: str) -> None:
    with pytest.raises(MalformedError):
        decode(body, event)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ref": "refs/heads/master"', b'"ref": 5'),
        (b'"ref": "refs/heads/master",', b""),
        (b'"after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246"', b'"after": null'),
        (b'"head_commit": {', b'"head_commit": [], "was": {'),
        (b'"full_name": "Codertocat/Hello-World"', b'"full_name": "../../etc"'),
        (b'"repository": {', b'"was": {'),
    ],
)
def test_a_push_has_its_fields(old: bytes, new: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(branch_push(old, new))


def test_brackets_in_strings_are_not_nesting() -> None:
    message = b"[" * 1000 + rb"\\\"" + b"{" * 1000

    assert decode(branch_push(b"Initial commit", message)).kind is EventKind.PUSH


def test_sixty_four_levels_are_the_limit() -> None:
    deep = json.dumps({"zen": 1}).encode().replace(b"1", b"[" * 63 + b"]" * 63)

    assert decode(deep, "star").kind is EventKind.IGNORED


def test_a_body_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLargeError):
        decode(b" " * (MAX_DELIVERY_BYTES + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-GitHub-Event", ""),
        ("X-GitHub-Event", "push\nstar"),
        ("X-GitHub-Event", "p" * 65),
        ("X-GitHub-Delivery", ""),
        ("X-GitHub-Delivery", "../../x"),
        ("X-GitHub-Delivery", "a" * 101),
    ],
)
def test_the_headers_have_limits_too(name: str, value: str) -> None:
    body = sample("github/push.tag")

    with pytest.raises(MalformedError):
        github.decode({**github_headers(body), name: value}, body)


def test_header_names_have_no_case() -> None:
    body = sample("github/push.tag")
    shouted = {name.upper(): value for name, value in github_headers(body).items()}

    github.verify(shouted, body, [SECRET])

    assert github.decode(shouted, body).tag == "simple-tag"
