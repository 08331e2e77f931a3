# The last look at a slot before the switch, and at one that may be damaged: every byte is read
# back from flash. Imported for that.
import os

from ota import bundle, slots
from ota.install import Sink, walk
from ota.reason import RefusedError

EXTRA = "a file that no index names"


def check(statement, root, slot, idle, release=""):
    """Read the index and every file back from flash and compare: the last look before the switch.

    Raises RefusedError unless the slot holds exactly the files of `statement`, and beside it the
    signed statement whose digest is `release`, if that is given.
    """
    view = memoryview(bytearray(512))
    size = statement["index"]["size"]
    index = Sink(None, idle)
    idle()
    count = 0
    with open(slots.index_path(root, slot), "rb") as f:
        for raw in bundle.lines(_Passing(f, index), size, memoryview(bytearray(128))):
            wanted, length, name = raw.decode().split(" ")
            check_file(slots.path(root, slot) + "/" + name, int(length), wanted, view, idle)
            count += 1
            idle()
    index.expect(statement["index"]["sha256"], "index on flash")
    if count != sum(1 for _ in walk(slots.path(root, slot), False)):
        raise RefusedError("digest_mismatch", EXTRA)
    if release:
        kept = slots.statement_path(root, slot)
        check_file(kept, os.stat(kept)[6], release, view, idle)


def check_file(path, size, wanted, view, idle):
    """Raise RefusedError, OSError unless the file holds `size` bytes of the digest `wanted`."""
    if os.stat(path)[6] != size:
        raise RefusedError("digest_mismatch", path + " on flash")
    sink = Sink(None, idle)
    with open(path, "rb") as f:
        bundle.copy(f, size, view, sink)
    sink.expect(wanted, path + " on flash")


class _Passing:
    # A source that shows a sink what passes, so that the lines used are the lines hashed.
    def __init__(self, source, sink):
        self._source = source
        self._sink = sink

    def readinto(self, view):
        n = self._source.readinto(view)
        self._sink.write(view[:n])
        return n
