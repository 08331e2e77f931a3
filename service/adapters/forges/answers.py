"""An answer of a forge, read within limits: how much we hold, and how long we wait, is not the forge's to say."""

import time
from collections.abc import Iterable

from service.domain.errors import ForgeError

CHUNK_BYTES = 64 << 10


class AnswerTooLargeError(ForgeError):
    """There is more of it than we hold."""


def read(pieces: Iterable[bytes], *, whose: str, max_bytes: int, since: float, max_s: float) -> bytes:
    """The body, unpacked, of pieces of `CHUNK_BYTES`. `since` is when it was asked for, on the monotonic clock.

    Raises: AnswerTooLargeError, or ForgeError when it is not whole in time; what the pieces raise.
    """
    body = bytearray()
    for each in pieces:
        body += each
        if len(body) > max_bytes:
            raise AnswerTooLargeError(f"{whose} answer is over {max_bytes >> 20} MiB")
        if time.monotonic() > since + max_s:
            raise ForgeError(f"{whose} answer took more than {max_s:g} s")
    return bytes(body)
