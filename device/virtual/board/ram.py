# A flash chip in RAM that remembers what was done to it. A power cut is then a picture: the chip
# as it was, and the first so many operations. So one life is enough for every cut in it.
import os

import micropython

ERASE = 4096
_BLANK = b"\xff" * ERASE


class Flash:
    """`data` is the chip's content, changed in place; `prog` the bytes of a program operation.

    `log` holds what was done: address and bytes of each program, address and None of each erase.
    """

    def __init__(self, data, prog, log=None):
        self.data = data
        self.prog = prog
        self.log = [] if log is None else log
        self.gone = False  # the board is off: files that the collector closes later go nowhere

    @micropython.viper
    def readblocks(self, block: int, buffer, offset: int):
        # Called forty thousand times in a life: words of four bytes, and nothing is allocated.
        source, target = ptr32(self.data), ptr32(buffer)  # noqa: F821 - viper's own types
        at = block * 1024 + (offset >> 2)
        for i in range(int(len(buffer)) >> 2):  # noqa: RUF046 - viper wants it said
            target[i] = source[at + i]

    def off(self):
        """Switch the board off. The same chip, to be switched on again."""
        self.gone = True
        return Flash(self.data, self.prog, self.log)

    def writeblocks(self, block, buffer, offset=None):
        if self.gone:
            return
        if offset is None:  # FAT speaks of whole blocks, and erases nothing itself
            self.ioctl(6, block)
            offset = 0
        at = block * ERASE + offset
        prog, log = self.prog, self.log
        for start in range(0, len(buffer), prog):
            log.append((at + start, bytes(buffer[start : start + prog])))
        self.data[at : at + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.data) // ERASE
        if operation == 5:
            return ERASE
        if operation == 6 and not self.gone:
            at = argument * ERASE
            self.log.append((at, None))
            self.data[at : at + ERASE] = _BLANK
        return 0


class Whole(Flash):
    """The same chip for FAT, which names no offset when it reads; viper has no defaults."""

    def readblocks(self, block, buffer, offset=0):
        at = block * ERASE + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]


class Forgetful(list):
    """A log of which nothing is kept."""

    def append(self, entry):
        pass


class Pictures:
    """The chip at each cut of a life that began with `base` and did what `log` says.

    Cuts are asked for in rising order. A clean cut comes before its operation, a torn one in the
    middle of it: half of the bytes are programmed, or half of the block is erased. `room` is used
    to draw in: chips are allocated once, a heap full of holes has no place for another.
    """

    def __init__(self, base, log, room):
        room[:] = base
        self._image = room
        self._log = log
        self._done = 0

    def draw(self, cut, torn, data):
        """Make `data` the content of the chip when operation `cut` (from 0) failed."""
        while self._done < cut:
            _apply(self._image, *self._log[self._done])
            self._done += 1
        data[:] = self._image
        if torn:
            at, content = self._log[cut]
            content = _BLANK if content is None else content
            _apply(data, at, content[: len(content) // 2])


def _apply(image, at, content):
    content = _BLANK if content is None else content
    image[at : at + len(content)] = content


def littlefs(flash):
    return os.VfsLfs2(flash, progsize=flash.prog, readsize=flash.prog)


def mount(file_system):
    """Make `file_system` the whole file system, whatever was there."""
    try:
        os.umount("/")
    except OSError:
        pass
    os.mount(file_system, "/")
