# SIMULATED: the port's module `esp32`, for a virtual board that has this file, ram.py's like and
# partitions.py in /lib. Flash is a file a sector in /sim, so it outlives a restart. boot.py calls
# boot(), as the boot loader would before MicroPython.
import os

import partitions

_FOLDER = "/sim/"
_BLOCKS = 8  # sectors of a partition
_BAD = b"\xe9" + b"\x01" * 31 + b"\x32\x54\xcd\xabbad"


class _Files:
    # As ram.py's Flash, but kept.
    prog = 32

    def readblocks(self, block, buffer, offset=0):
        content = self._read(block)
        buffer[:] = content[offset : offset + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        content = self._read(block)
        content[offset : offset + len(buffer)] = buffer
        with open(_FOLDER + str(block), "wb") as f:
            f.write(content)

    def ioctl(self, operation, argument):
        if operation == 6:
            try:
                os.remove(_FOLDER + str(argument))
            except OSError:
                pass

    def _read(self, block):
        try:
            with open(_FOLDER + str(block), "rb") as f:
                return bytearray(f.read())
        except OSError:
            return bytearray(b"\xff" * partitions.ERASE)


class _Chip(partitions.Chip):
    def content(self, label):
        head = bytearray(64)
        self.flash.readblocks(self.at + partitions.APPS.index(label) * self.blocks, head, 0)
        return bytes(head)


Partition = partitions.Partition


def boot():
    """Choose the firmware; one that is called bad restarts before it comes to anything."""
    Partition.chip = _Chip(_Files(), 0, _BLOCKS)
    label = Partition.chip.boot()
    head = Partition.chip.content(label)
    print("[boot loader]", label)
    if head[: len(_BAD)] == _BAD:
        raise SystemExit(3)
