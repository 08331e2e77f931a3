# trust.json and its copy, one made of the other. Imported when they differ, and forgotten.
import os

from ota import hal
from ota.trust import COPY, PATH, read


def mend(root):
    """Make the copy of trust.json anew, or trust.json from it where that cannot be read."""
    path = root + PATH
    whole = read(path) is not None
    try:
        if whole:
            _copy(path, path + COPY)
        elif read(path + COPY) is not None:
            hal.log("trust.json from its copy")
            _copy(path + COPY, path)
    except OSError as e:
        hal.log("no copy of trust.json:", repr(e))


def _copy(path, other):
    new = path + ".new"
    with open(path, "rb") as source, open(new, "wb") as f:
        while True:
            part = source.read(256)
            if not part:
                break
            f.write(part)
    os.rename(new, other)
