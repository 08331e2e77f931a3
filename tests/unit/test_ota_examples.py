"""The examples of docs/ota.md, bytes as they stand there, by the agent that was written from it (tests/other_agent)."""

import pathlib
import re
import zlib

from tests.other_agent.claim import Code
from tests.other_agent.packs import Inflated, patched
from tests.other_agent.trust import header

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "ota.md").read_text()


def quoted(before: str) -> list[str]:
    """What stands in backquotes in the paragraph that holds `before`, from there on."""
    _, found, rest = PAGE.partition(before)
    assert found, before
    return re.findall(r"`([^`]+)`", rest.partition("\n\n")[0])


def test_the_protected_header() -> None:
    kid, text = quoted("With key id")[:2]
    assert header(kid) == text


def test_a_patch() -> None:
    made, base, *records = quoted("For example these bytes make")
    *packed, back = [part for part in records if re.fullmatch(r"[0-9a-f]{2}( [0-9a-f]{2})*", part)]
    deflate = zlib.compressobj(wbits=-10)
    stream = deflate.compress(bytes.fromhex(" ".join(packed))) + deflate.flush()
    assert patched(Inflated(stream), f"{base}\n".encode(), len(made) + 1) == f"{made}\n".encode()
    step = int(back, 16)
    assert step >> 1 ^ -(step & 1) == -3


def test_what_is_derived_of_a_code() -> None:
    code, _, name, token = quoted("wherever something is derived, not its digits")[:4]
    found = Code(code, bytes(range(32)))
    assert found.derived("name", b"").hex()[:24] == name
    assert found.of_seed("token").hex() == token
