# Reading from a source, which is anything with readinto(view) -> bytes read, 0 at the end: lines
# of an index, files of a bundle, and what is deflated in a file (docs/ota.md, "Bundle", "Pack").
from micropython import const

from ota.reason import RefusedError

LINE_LIMIT = const(64 + 1 + 10 + 1 + 100 + 1)


def read_exactly(source, view):
    """Fill `view` from `source`; a stream that ends early is malformed."""
    done = 0
    while done < len(view):
        n = source.readinto(view[done:] if done else view)
        if not n:
            raise RefusedError("malformed", "bundle ends early")
        done += n


class Inflated:
    """What is deflated in the file `source` from byte `at` on, without the first `taken` bytes."""

    def __init__(self, source, at, taken=0):
        self._source = source
        self._at = at
        self._stream = None
        self.taken = taken

    def readinto(self, view):
        if self._stream is None:
            self._open(view)
        n = self._stream.readinto(view)
        self.taken += n
        return n

    def pause(self):
        """Give back the window; what was read is inflated once more when it goes on."""
        self._stream = None

    def _open(self, view):
        from ota import app, inflate

        app.forget("inflate")
        self._source.seek(self._at)
        self._stream = inflate.inflater()(self._source)
        left = self.taken
        while left:
            part = view[: min(len(view), left)]
            read_exactly(self._stream, part)
            left -= len(part)


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
