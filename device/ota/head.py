# Reading the head of a bundle (docs/ota.md), apart from judging it: the less of the agent is there
# while a signature is checked, the better that fits.
from micropython import const

from ota.reason import RefusedError
from ota.stream import read_exactly

MAGIC = b"KILN1\n"
LIMIT = const(1536)  # bytes of a statement


def read(source):
    """The statement's JWS bytes from the start of a bundle, magic and line end checked."""
    view = memoryview(bytearray(len(MAGIC)))
    read_exactly(source, view)
    if bytes(view) != MAGIC:
        raise RefusedError("malformed", "begins with something else")
    return _line(source, LIMIT)


def _line(source, limit):
    view = memoryview(bytearray(limit + 1))
    # Byte by byte: what follows the line end must stay in the stream.
    for at in range(limit + 1):
        read_exactly(source, view[at : at + 1])
        if view[at] == 10:
            return bytes(view[:at])
    raise RefusedError("too_large", "a line over %d bytes" % limit)
