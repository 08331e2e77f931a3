# Reading from a source: anything with readinto(view) -> bytes read, 0 at the end.
from ota.reason import RefusedError


def read_exactly(source, view):
    """Fill `view` from `source`; a stream that ends early is malformed."""
    done = 0
    while done < len(view):
        n = source.readinto(view[done:])
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
        from ota import hal

        self._source.seek(self._at)
        self._stream = hal.inflater()(self._source)
        left = self.taken
        while left:
            part = view[: min(len(view), left)]
            read_exactly(self._stream, part)
            left -= len(part)
