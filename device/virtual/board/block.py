# A flash chip in a file, for MicroPython. The power may fail at any program or erase.
import os

_BLANK = b"\xff" * 256
FOOTER = 64  # bytes after the last block: "kiln-flash <program size> <erase size>\n", padded


class Flash:
    """`path` was made by device.virtual. The power fails at operation `cut` (0: never); a torn
    operation is half done, a clean one not at all."""

    def __init__(self, path, cut=0, torn=False):
        self._file = open(path, "r+b")
        length = self._file.seek(0, 2) - FOOTER
        self._file.seek(length)
        words = self._file.read(FOOTER).split()
        if len(words) != 3 or words[0] != b"kiln-flash":
            raise ValueError("not a flash file: " + path)
        self.prog, self._erase = int(words[1]), int(words[2])
        self._blocks = length // self._erase
        self._cut = cut
        self._torn = torn
        self.operations = 0

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * self._erase + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        if self._fails():
            self._fail(block * self._erase + offset, buffer)
        # Nothing is allocated here: the collector writes too when it closes a forgotten file.
        self._file.seek(block * self._erase + offset)
        self._file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return self._erase
        if operation == 6:
            if self._fails():
                self._fail(argument * self._erase, b"\xff" * self._erase)
            self._file.seek(argument * self._erase)
            for _ in range(self._erase // len(_BLANK)):
                self._file.write(_BLANK)
        return 0

    def _fails(self):
        self.operations += 1
        return self.operations == self._cut

    def _fail(self, at, buffer):
        if self._torn:
            self._file.seek(at)
            self._file.write(memoryview(buffer)[: len(buffer) // 2])
        # Really gone: no handler of this process runs any more.
        os.system("kill -9 $PPID")


def mount(flash, where):
    """Mount the littlefs of `flash` at `where`."""
    os.mount(os.VfsLfs2(flash, progsize=flash.prog, readsize=flash.prog), where)


def make(flash):
    """Make an empty littlefs."""
    os.VfsLfs2.mkfs(flash, progsize=flash.prog, readsize=flash.prog)
