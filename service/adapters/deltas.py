"""What differs between two files: bsdiff (C. Percival, 2003), which looks for runs that are nearly the same."""

import struct

from bsdiff4 import core

from service.domain.pack import Steps


def diff(older: bytes, newer: bytes) -> tuple[Steps, bytes, bytes]:
    """`service.domain.pack.Diff`. Other threads run meanwhile; memory is 17 bytes for each byte of `older`."""
    control, added, extra = core.diff(older, newer)
    numbers = [_signed(value) for (value,) in struct.iter_unpack("<Q", control)]
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)), added, extra


def _signed(value: int) -> int:
    magnitude = value & (1 << 63) - 1
    return -magnitude if value >> 63 else magnitude
