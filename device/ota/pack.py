# A pack: what differs from the release that runs (docs/ota.md, "Pack"), read from a file on flash.
# Nothing about it is trusted: whatever it makes is held against signed digests.
import binascii

from micropython import const

from ota import bundle, install, patch, slots
from ota.bundle import Inflated, read_exactly
from ota.reason import RefusedError

_OLDER_INDEX = const(0xFFFF)
_ROW = const(6)  # bytes a file of the older release: four of its digest, two where its line begins


class Files:
    """What a pack makes together with the slot that runs ("" for none), as a supply.

    `source` is the open file, `at` where its stream begins, `taken` the bytes of that which were
    the statement.
    """

    def __init__(self, source, at, taken, root, slot, idle):
        self._source = source
        self._stream = Inflated(source, at, taken)
        self._older = Older(root, slot) if slot else None
        self._idle = idle
        self._view = memoryview(bytearray(512))

    def index(self, size, sink):
        self._entry(size, sink)
        if self._older is not None:
            self._older.read()

    def file(self, digest, size, sink):
        found = self._older.find(digest) if self._older is not None else None
        if found is None:
            self._entry(size, sink)
            return
        with open(found, "rb") as f:
            bundle.copy(f, size, self._view, sink)

    def pause(self):
        self._stream.pause()

    def end(self):
        """Raise RefusedError unless stream and file end here."""
        if self._stream.readinto(self._view[:1]) or self._source.read(1):
            raise RefusedError("malformed", "more than the files")

    def _entry(self, size, sink):
        read_exactly(self._stream, self._view[:1])
        kind = self._view[0]
        if kind == 70:  # F
            bundle.copy(self._stream, size, self._view, sink)
        elif kind == 68 and self._older is not None:  # D
            read_exactly(self._stream, self._view[:2])
            path, length = self._older.base(self._view[0] << 8 | self._view[1], self._idle)
            with open(path, "rb") as f:
                patch.apply(self._stream, f, length, size, self._view, sink)
        else:
            raise RefusedError("malformed", "no entry of a pack")


class Older:
    """The files of the slot that runs, by digest and by their line in its index."""

    def __init__(self, root, slot):
        self._folder = slots.path(root, slot) + "/"
        self._index = slots.index_path(root, slot)
        self._rows = b""

    def read(self):
        """Read the index once; after that a file is found without."""
        at, size, rows = 0, self._index_size(), bytearray()
        with open(self._index, "rb") as f:
            for raw in bundle.lines(f, size, memoryview(bytearray(128))):
                rows += binascii.unhexlify(raw[:8]) + bytes((at >> 8, at & 0xFF))
                at += len(raw) + 1
        self._rows = bytes(rows)

    def find(self, digest):
        """The path of a file with this digest (hex), or None."""
        mark = binascii.unhexlify(digest[:8])
        at = self._rows.find(mark)
        while at >= 0:
            if at % _ROW == 0:
                wanted, _, name = self._line(at // _ROW)
                if wanted == digest:
                    return self._folder + name
            at = self._rows.find(mark, at + 1)
        return None

    def base(self, number, idle):
        """(path, bytes) of a base, its digest checked; the index itself has no older digest."""
        if number == _OLDER_INDEX:
            return self._index, self._index_size()
        if number * _ROW >= len(self._rows):
            raise RefusedError("malformed", "no such base")
        digest, length, name = self._line(number)
        sink = install.Sink(None, idle)
        with open(self._folder + name, "rb") as f:
            bundle.copy(f, int(length), memoryview(bytearray(256)), sink)
        sink.expect(digest, name + " as a base")
        return self._folder + name, int(length)

    def _line(self, number):
        at = number * _ROW + 4
        with open(self._index, "rb") as f:
            f.seek(self._rows[at] << 8 | self._rows[at + 1])
            return f.readline().decode().rstrip("\n").split(" ")

    def _index_size(self):
        with open(self._index, "rb") as f:
            return f.seek(0, 2)
