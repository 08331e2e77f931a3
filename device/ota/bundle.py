# Lines of an index and files of a bundle, read as a stream from any `readinto` source
# (docs/ota.md, "Bundle"). Nothing here touches flash or network.
from micropython import const

from ota.reason import RefusedError
from ota.stream import read_exactly

LINE_LIMIT = const(64 + 1 + 10 + 1 + 100 + 1)


def lines(source, size, view):
    """Yield the lines (bytes without line end) of the `size` bytes next in `source`."""
    rest = b""
    while size:
        part = view[: min(len(view), size)]
        read_exactly(source, part)
        size -= len(part)
        rest += bytes(part)
        cut = rest.find(b"\n")
        while cut >= 0:
            yield rest[:cut]
            rest = rest[cut + 1 :]
            cut = rest.find(b"\n")
        if len(rest) >= LINE_LIMIT:
            raise RefusedError("malformed", "index line")
    if rest:
        raise RefusedError("malformed", "index ends without a line end")


def copy(source, size, view, sink):
    """Pass `size` bytes on to `sink.write`."""
    while size:
        part = view[: min(len(view), size)]
        read_exactly(source, part)
        sink.write(part)
        size -= len(part)


class Files:
    """What a bundle holds after its statement, as a supply (ota/install.py)."""

    def __init__(self, source):
        self._source = source
        self._view = memoryview(bytearray(512))

    def index(self, size, sink):
        copy(self._source, size, self._view, sink)

    def file(self, digest, size, sink):
        copy(self._source, size, self._view, sink)

    def pause(self):
        pass

    def end(self):
        pass  # the length of a bundle was promised, and is asked for
