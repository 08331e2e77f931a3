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
