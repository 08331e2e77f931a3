# Reading the head of a bundle (docs/ota.md), apart from judging it: the less of the agent is there
# while a signature is checked, the better that fits.
from micropython import const

from ota.bundle import read_exactly
from ota.reason import RefusedError

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
    # Byte by byte: what follows the line end must stay in the stream. Not into a buffer of the
    # limit, which may be half as long again as the line.
    line, byte = bytearray(), bytearray(1)
    while len(line) <= limit:
        read_exactly(source, byte)
        if byte[0] == 10:
            return bytes(line)
        line.extend(byte)
    raise RefusedError("too_large", "a line over %d bytes" % limit)
