# Typed reads from a verified payload: a field has its type and its limits, or the message is
# refused as malformed. `type(x) is int` on purpose: True is no number here.
import json

from ota.reason import RefusedError


def document(raw, kind):
    """The JSON object of version 1 in `raw` whose `type` is `kind`."""
    try:
        fields = json.loads(raw)
    except (ValueError, TypeError, RuntimeError):  # RuntimeError: CPython's nesting limit
        raise RefusedError("malformed", "not JSON") from None
    return checked(fields, kind)


def checked(fields, kind):
    """`fields`, if they are an object of version 1 whose `type` is `kind`."""
    if type(fields) is not dict:
        raise RefusedError("malformed", "not an object")
    integer(fields, "v", 1, 1)
    if fields.get("type") != kind:
        raise RefusedError("malformed", "not of type " + kind)
    return fields


def integer(fields, name, low, high):
    """The integer `name`, low <= value <= high."""
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        raise RefusedError("malformed", name + " is no integer in range")
    return value


def text(fields, name, limit):
    """The text `name` of 1 to `limit` characters."""
    value = fields.get(name)
    if type(value) is not str or not 1 <= len(value) <= limit:
        raise RefusedError("malformed", name + " is no text in range")
    return value


def hexadecimal(fields, name, lengths=(64,)):
    """The lower-case hex text `name`, as long as one of `lengths`; 64 is a SHA-256."""
    value = fields.get(name)
    if type(value) is not str or len(value) not in lengths or not is_hex(value):
        raise RefusedError("malformed", name + " is no digest")
    return value


def is_hex(text):
    """Whether the ASCII `text` is lower-case hex digits."""
    # By bytes: MicroPython keeps each character that a loop sees, for ever.
    return all(48 <= c <= 57 or 97 <= c <= 102 for c in text.encode())
