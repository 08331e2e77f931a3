"""A patch makes a file of another, within the bounds of both."""

import io

import pytest

from ota import patch
from ota.reason import RefusedError


def numbers(*values: int) -> bytes:
    return b"".join(bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7]) for value in values)


@pytest.mark.parametrize(
    "raw",
    [
        numbers(0, 0, 0),
        numbers(0, 11, 0) + bytes(11),
        numbers(1, 1, 0) + bytes(1),
        numbers(18, 2, 0) + bytes(2),
        numbers(0, 0, 21) + bytes(21),
        b"\x80\x80\x80\x80\x00" + numbers(1, 0) + bytes(1),
        b"\xff\xff\xff\xff\xff\xff",
        numbers(0, 5, 5) + bytes(9),
        b"",
    ],
    ids=["idle", "over the base", "before it", "past its end", "too much", "long zero", "huge", "short", "empty"],
)
def test_a_patch_out_of_bounds_is_refused(raw: bytes) -> None:
    made = io.BytesIO()

    with pytest.raises(RefusedError) as caught:
        patch.apply(io.BytesIO(raw), io.BytesIO(b"0123456789"), 10, 20, memoryview(bytearray(16)), made)

    assert caught.value.reason == "malformed"
    assert len(made.getvalue()) <= 20
