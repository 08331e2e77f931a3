# The two slots /a and /b and the file index kept for each. The slots of the agent itself have
# longer names: kiln/agent/a and kiln/agent/b.
import os


def path(root, slot):
    return root + "/" + slot


def index_path(root, slot):
    return root + "/kiln/" + slot.replace("/", ".") + ".index"


def statement_path(root, slot):
    return root + "/kiln/" + slot.replace("/", ".") + ".jws"


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
