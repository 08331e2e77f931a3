"""What the payloads of all forges share: JSON within limits, fields of a known type, and the rules of a push."""

import json
import re
from collections.abc import Mapping

from service.domain.errors import MalformedError, TooLargeError
from service.domain.event import ZERO, Event, EventKind, is_commit, is_ref
from service.domain.repository import is_path
from service.ports import MAX_DELIVERY_BYTES

MAX_DEPTH = 64  # real payloads stay below 10
MAX_LINE_CHARS = 200

Fields = dict[str, object]

_DELIVERY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

# GitHub's words; GitLab knows the first two of them.
# https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
# https://docs.gitlab.com/ci/pipelines/#skip-a-pipeline
_SKIP_WORD = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE)
_SKIP_TRAILER = re.compile(r"^skip-checks:[ \t]*true[ \t]*$", re.IGNORECASE | re.MULTILINE)


def header(headers: Mapping[str, str], name: str) -> str:
    """A header by its lower-case name, empty when absent. HTTP does not care about the case of names."""
    value = headers.get(name)  # the web layer gives lower case: usually one look
    if value is None:
        return next((value for key, value in headers.items() if key.lower() == name), "")
    return value


def delivery_id(text: str) -> str:
    if _DELIVERY.fullmatch(text) is None:
        raise MalformedError("the delivery's id is missing or not of letters, digits and dashes")
    return text


def parse(body: bytes) -> Fields:
    """The JSON object in `body`. Strict where parsers differ, since a signature covers bytes, not meanings."""
    if len(body) > MAX_DELIVERY_BYTES:
        raise TooLargeError(f"the delivery is over {MAX_DELIVERY_BYTES} bytes")
    if _is_deep(body):
        raise MalformedError(f"the payload is nested deeper than {MAX_DEPTH} levels, or its brackets do not match")
    try:
        # Decoded here, for `json.loads` would guess UTF-16 and UTF-32 too.
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except ValueError as error:  # bad UTF-8, bad JSON, an integer of thousands of digits
        raise MalformedError("the payload is not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise MalformedError("the payload is not a JSON object")
    return value


def _is_deep(body: bytes) -> bool:
    """Looked at before the parser, which recurses. Each round takes the innermost brackets away, at memory speed."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(plain.split(b'"')[::2])
    brackets = outside_strings.translate(_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _unique(pairs: list[tuple[str, object]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("the payload has a key twice in one object")
    return fields


def _refuse_constant(name: str) -> None:
    raise MalformedError(f"{name} is not JSON")


def text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedError(f'the payload has no text "{name}"')
    return value


def table(fields: Fields, name: str) -> Fields:
    """The object under `name`; an empty one when it is absent or null."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedError(f'"{name}" in the payload is not an object')
    return value


def line(value: object) -> str:
    """The first line, for people: short, and of characters that a terminal and a database take."""
    if not isinstance(value, str):
        return ""
    first = value.strip().partition("\n")[0][:MAX_LINE_CHARS]
    return "".join(char if char.isprintable() else " " for char in first).strip()


def path(name: object) -> str:
    """The repository's path, empty if it is none that Kiln could follow."""
    return name if isinstance(name, str) and is_path(name) else ""


def ignored(delivery: str, why: str, *, path: str = "") -> Event:
    return Event(kind=EventKind.IGNORED, delivery=delivery, path=path, why=why)


def push(*, delivery: str, path: str, ref: str, after: str, commit: str | None, message: str, author: str) -> Event:
    """A moved ref as an event. `after` is what the ref holds now, `commit` the commit that this leads to, if any."""
    if not path:
        raise MalformedError("the payload does not name its repository")
    if ZERO.fullmatch(after) is not None:
        return ignored(delivery, "the ref was deleted: there is nothing to build", path=path)
    if not is_ref(ref) or not ref.isprintable():
        return ignored(delivery, "this is not a branch or a tag of a name that Kiln builds", path=path)
    if commit is None:
        return ignored(delivery, "the tag does not lead to a commit", path=path)
    if not is_commit(commit):
        raise MalformedError("the payload's commit is not 40 or 64 hexadecimal digits")
    if _says_skip(message):
        return ignored(delivery, "the commit's message asks to skip it", path=path)
    kind = EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH
    return Event(
        kind=kind,
        delivery=delivery,
        path=path,
        ref=ref,
        commit=commit,
        title=line(message),
        author=line(author),
    )


def _says_skip(message: str) -> bool:
    trailers = message.rstrip().rpartition("\n\n")[2]
    return _SKIP_WORD.search(message) is not None or _SKIP_TRAILER.search(trailers) is not None
