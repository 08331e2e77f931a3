"""Words that people give devices: labels, tags, groups, channels."""

import re

from service.domain.errors import BadInputError

MAX_LABEL_CHARS = 80
MAX_CHANNEL_CHARS = 40
MAX_TAGS = 20  # of one device
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def label(text: str) -> str:
    """A name for people; empty takes it away. Raises: BadInputError."""
    text = text.strip()
    if len(text) > MAX_LABEL_CHARS or not text.isprintable():
        raise BadInputError(f"a label has at most {MAX_LABEL_CHARS} printable characters")
    return text


def tag(text: str) -> str:
    """Raises: BadInputError."""
    return _word(text, "a tag")


def group(text: str) -> str:
    """Raises: BadInputError."""
    return _word(text, "a group's name")


def channel(text: str) -> str:
    """Raises: BadInputError."""
    if not 0 < len(text) <= MAX_CHANNEL_CHARS or not text.isprintable():
        raise BadInputError(f"a channel's name has 1 to {MAX_CHANNEL_CHARS} printable characters")
    return text


def _word(text: str, what: str) -> str:
    if not _WORD.fullmatch(text):
        raise BadInputError(f"{what} has 1 to 40 letters, digits, '.', '_' and '-': {text[:80]!r}")
    return text
