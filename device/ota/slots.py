# The two slots /a and /b and the file index kept for each. The slots of the agent itself have
# longer names: kiln/agent/a and kiln/agent/b.
import os

from micropython import const

_FILE = const(0x8000)  # st_mode of a file
STARTS = const(3)  # for one order: whatever goes wrong, a board comes back to its application


def path(root, slot):
    return root + "/" + slot


def index_path(root, slot):
    return root + "/kiln/" + slot.replace("/", ".") + ".index"


def statement_path(root, slot):
    return root + "/kiln/" + slot.replace("/", ".") + ".jws"


def order_path(root, left):
    """The order for which a board starts anew, with so many starts `left` for it: ota/leave.py."""
    return root + "/kiln/order.%d" % left


def waits(root, left):
    """Whether there is one: an application may have left an empty file, or a folder."""
    try:
        found = os.stat(order_path(root, left))
    except OSError:
        return False
    return bool(found[0] & _FILE and found[6])


def atomic(root):
    """Whether a rename over a file is one step: not on FAT, known by names without case."""
    return not _exists(root + "/KILN/DEVICE.JSON")


def stated(root):
    """Whether a slot has the statement of a release beside it."""
    return any(_exists(statement_path(root, slot)) for slot in ("a", "b"))


def startable(root, slot):
    """Whether `slot` holds an application."""
    return any(_exists(path(root, slot) + "/" + name) for name in ("main.py", "main.mpy"))


def free(root):
    """Free bytes of the file system."""
    v = os.statvfs(root or "/")
    return v[1] * free_blocks(v)


def free_blocks(v):
    """Free blocks by the statvfs `v`.

    littlefs counts each folder twice: on a flash that is nearly full too few are free, then less
    than none, which comes out as 2^32 and something.
    """
    return v[4] if v[4] <= v[2] else 0


def _exists(name):
    try:
        return os.stat(name)[6] >= 0
    except OSError:
        return False
