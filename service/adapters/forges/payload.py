"""What the payloads of all forges share: JSON within limits, and fields of a known type."""

import json
import re
from collections.abc import Mapping

from service.domain.errors import MalformedError, TooLargeError
from service.domain.event import ZERO, is_commit, printable, title_of
from service.domain.repository import is_path
from service.ports import MAX_DELIVERY_BYTES

MAX_DEPTH = 64  # real payloads stay below 10
MAX_NUMBER = (1 << 63) - 1

Fields = dict[str, object]

_DELIVERY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_SIGNATURE = re.compile(r"^-----BEGIN (?:PGP|SSH|SIGNED) [A-Z ]+-----", re.MULTILINE)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def header(headers: Mapping[str, str], name: str) -> str:
    """A header by its lower-case name, empty when absent. HTTP does not care about the case of names."""
    value = headers.get(name)  # the web layer gives lower case: usually one look
    if value is None:
        return next((value for key, value in headers.items() if key.lower() == name), "")
    return value


def raw(value: str) -> bytes:
    """A header's bytes. Servers hand headers over as Latin-1; a secret of other letters came as UTF-8 in it."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


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
    """The first line of what may be a text, as :func:`title_of` has it."""
    return title_of(value) if isinstance(value, str) else ""


def lines(value: object, max_chars: int) -> str:
    """Text of several lines, likewise; without the signature that may follow the message of a tag."""
    if not isinstance(value, str):
        return ""
    said = _SIGNATURE.split(value, maxsplit=1)[0].strip()[:max_chars]
    return "\n".join(printable(each).rstrip() for each in said.splitlines()).strip()


def path(name: object) -> str:
    """The repository's path, empty if it is none that Kiln could follow."""
    return name if isinstance(name, str) and is_path(name) else ""


def number_of(value: object) -> str:
    """A forge's own number for something, as text; empty when it is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_NUMBER
    return str(value) if is_number else ""


def tables(fields: Fields, name: str) -> list[Fields]:
    """The objects of the list under `name`; what else is in it is passed over."""
    value = fields.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def commit_of(value: object) -> str:
    """A commit that exists. Raises: MalformedError."""
    if not isinstance(value, str) or not is_commit(value) or ZERO.fullmatch(value) is not None:
        raise MalformedError("the payload's commit is not 40 or 64 hexadecimal digits, or all of them are zero")
    return value


def before_of(value: object) -> str:
    """What a ref held until now; empty when it is new, or not said."""
    return value if isinstance(value, str) and is_commit(value) and ZERO.fullmatch(value) is None else ""
