# SIMULATED: app partitions and boot loader of an ESP32, over flash in RAM (ram.py). A model made
# from ESP-IDF's "Over The Air Updates" and "App Rollback" and from the page of esp32.Partition;
# no chip was asked. Power may fail at any operation: the flash keeps a log of them.
#
# The last two sectors are `otadata`: each holds a number that rises, the state of that choice, and
# a checksum. The valid one with the higher number says which partition is started.
import binascii
import struct

ERASE = 4096
APPS = ("ota_0", "ota_1")
NEW, PENDING, VALID, INVALID, ABORTED = range(5)
_WHOLE = b"\xe9"


class Chip:
    """`flash` from `at` on: two partitions of `blocks` sectors, then otadata."""

    def __init__(self, flash, at, blocks, rollback=True):
        self.flash = flash
        self.at = at  # sectors
        self.blocks = blocks
        self.rollback = rollback  # CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE
        self.running = ""

    def entries(self):
        found = []
        for number in range(2):
            raw = bytearray(12)
            self.flash.readblocks(self.at + 2 * self.blocks + number, raw, 0)
            seq, state, check = struct.unpack("<III", raw)
            good = seq != 0xFFFFFFFF and check == binascii.crc32(raw[:8])
            found.append((seq, state, number) if good else (0, VALID, number))
        return found

    def write(self, number, seq, state):
        raw = struct.pack("<II", seq, state)
        raw += struct.pack("<I", binascii.crc32(raw))
        block = raw + b"\xff" * (self.flash.prog - len(raw))
        self.flash.ioctl(6, self.at + 2 * self.blocks + number)
        self.flash.writeblocks(self.at + 2 * self.blocks + number, block, 0)

    def chosen(self):
        """(number, state, sector) of the entry in force, or None: the first partition starts."""
        good = [
            entry for entry in self.entries() if entry[0] and entry[1] not in (INVALID, ABORTED)
        ]
        return max(good) if good else None

    def boot(self):
        """What the boot loader does at each start; the label of the partition that it starts."""
        entry = self.chosen()
        if entry and self.rollback and entry[1] == PENDING:
            self.write(entry[2], entry[0], ABORTED)  # it was started, and never confirmed
            entry = self.chosen()
        if entry and self.rollback and entry[1] == NEW:
            self.write(entry[2], entry[0], PENDING)
        self.running = APPS[(entry[0] - 1) % 2] if entry else APPS[0]
        if not self.whole(self.running):
            self.running = APPS[1 - APPS.index(self.running)]
        return self.running

    def whole(self, label):
        head = bytearray(4)
        self.flash.readblocks(self.at + APPS.index(label) * self.blocks, head, 0)
        return head[:1] == _WHOLE

    def content(self, label):
        raw = bytearray(self.blocks * ERASE)
        self.flash.readblocks(self.at + APPS.index(label) * self.blocks, raw, 0)
        return bytes(raw)


class Partition:
    """What the agent uses of esp32.Partition. `chip` is set by whoever plays the board."""

    BOOT, RUNNING = 0, 1
    TYPE_APP = 0
    chip = None

    def __init__(self, what):
        entry = self.chip.chosen()
        if what == self.BOOT:
            self.label = APPS[(entry[0] - 1) % 2] if entry else APPS[0]
        elif what == self.RUNNING:
            self.label = self.chip.running
        else:
            self.label = what

    @classmethod
    def find(cls, type=0, subtype=0xFF, label=None):
        return [cls(name) for name in APPS if label in (None, name)]

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        if not cls.chip.rollback:
            raise OSError(-261)
        entry = cls.chip.chosen()
        if entry and entry[1] != VALID:
            cls.chip.write(entry[2], entry[0], VALID)

    def info(self):
        place = self.chip.at + APPS.index(self.label) * self.chip.blocks
        return (0, 0, place * ERASE, self.chip.blocks * ERASE, self.label, False)

    def get_next_update(self):
        return Partition(APPS[1 - APPS.index(self.chip.running)])

    def readblocks(self, block, buffer, offset=0):
        self.chip.flash.readblocks(self.info()[2] // ERASE + block, buffer, offset)

    def writeblocks(self, block, buffer, offset=None):
        at = self.info()[2] // ERASE + block
        if offset is None:
            for number in range(-(-len(buffer) // ERASE)):
                self.chip.flash.ioctl(6, at + number)
        self.chip.flash.writeblocks(at, buffer, offset or 0)

    def set_boot(self):
        if not self.chip.whole(self.label):
            raise OSError(-0x1503)  # ESP_ERR_OTA_VALIDATE_FAILED
        entries = self.chip.entries()
        entry = self.chip.chosen()
        seq = max(each[0] for each in entries) + 1
        if (seq - 1) % 2 != APPS.index(self.label):
            seq += 1
        # The other sector than that of the choice in force, which stays should the power fail.
        number = 1 - entry[2] if entry else 0
        self.chip.write(number, seq, NEW if self.chip.rollback else VALID)
