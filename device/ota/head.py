# Reading the head of a bundle or a pack (docs/ota.md), apart from judging it: the less of the
# agent is loaded while a signature is checked, the better that fits.
from micropython import const

from ota.reason import RefusedError
from ota.stream import read_exactly

MAGIC = b"KILN1\n"
_PACK_MAGIC = b"KILNP1\n"
LIMIT = const(1536)  # bytes of a statement


def read(source):
    """The statement's JWS bytes from the start of a bundle, magic and line end checked."""
    _begins(source, MAGIC)
    return _line(source, LIMIT)


def read_pack(source, starts_from):
    """The same from a pack, which must start from the release `starts_from`."""
    _begins(source, _PACK_MAGIC)
    if _line(source, 64) != starts_from.encode():
        raise RefusedError("wrong_base", "not for the release that runs")
    return _line(source, LIMIT)


def _begins(source, magic):
    view = memoryview(bytearray(len(magic)))
    read_exactly(source, view)
    if bytes(view) != magic:
        raise RefusedError("malformed", "begins with something else")


def _line(source, limit):
    view = memoryview(bytearray(limit + 1))
    # Byte by byte: what follows the line end must stay in the stream.
    for at in range(limit + 1):
        read_exactly(source, view[at : at + 1])
        if view[at] == 10:
            return bytes(view[:at])
    raise RefusedError("too_large", "a line over %d bytes" % limit)
