# The two slots /a and /b and the file index kept for each. Only the inactive slot is ever written.
import hashlib
import os

import binascii
from micropython import const

from ota import bundle
from ota.reason import DIGEST_MISMATCH, NO_SPACE, RefusedError

_FOLDER = const(0x4000)  # st_mode of a folder
_RESERVE_BLOCKS = const(6)  # left free for the state file, the index and littlefs itself


def path(root, slot):
    return root + "/" + slot


def index_path(root, slot):
    return root + "/kiln/" + slot + ".index"


def startable(root, slot):
    """Whether `slot` holds an application."""
    for name in ("main.py", "main.mpy"):
        if _exists(path(root, slot) + "/" + name):
            return True
    return False


def clear(root, slot):
    """Empty the slot."""
    for name in walk(path(root, slot), True):
        _remove(name)
    for name in (path(root, slot), index_path(root, slot)):
        _remove(name)


def free(root):
    """Free bytes of the file system."""
    v = os.statvfs(root or "/")
    return v[1] * v[4]


def install(source, statement, root, slot, idle):
    """Write the files of a bundle, whose statement was read and verified, into the empty `slot`.

    `idle` is called between files. Raises RefusedError; OSError when flash fails.
    """
    view = memoryview(bytearray(512))
    index = index_path(root, slot)
    size = statement["index"]["size"]
    with open(index, "wb") as f:
        actual = bundle.copy(source, size, view, f)
    bundle.expect(actual, statement["index"]["sha256"], "index")
    _check_index(index, statement, root)
    os.mkdir(path(root, slot))
    with open(index, "rb") as f:
        for raw in bundle.lines(f, size, memoryview(bytearray(128))):
            digest, length, name = raw.decode().split(" ")
            with _create(path(root, slot), name) as sink:
                actual = bundle.copy(source, int(length), view, sink)
            bundle.expect(actual, digest, name)
            idle()


def _check_index(index, statement, root):
    checked = bundle.Index(statement)
    v = os.statvfs(root or "/")
    blocks = _RESERVE_BLOCKS
    with open(index, "rb") as f:
        for raw in bundle.lines(f, statement["index"]["size"], memoryview(bytearray(128))):
            blocks += -(-checked.line(raw)[1] // v[1])
    checked.end()
    if blocks > v[4]:
        raise RefusedError(NO_SPACE, "%d blocks needed, %d free" % (blocks, v[4]))


def check(statement, root, slot, idle):
    """Read the index and every file back from flash and compare: the last look before the switch.

    Raises RefusedError unless the slot holds exactly the files of `statement`.
    """
    view = memoryview(bytearray(512))
    size = statement["index"]["size"]
    digest = hashlib.sha256()
    count = 0
    with open(index_path(root, slot), "rb") as f:
        for raw in bundle.lines(_Hashed(f, digest), size, memoryview(bytearray(128))):
            wanted, length, name = raw.decode().split(" ")
            whole = path(root, slot) + "/" + name
            if os.stat(whole)[6] != int(length):
                raise RefusedError(DIGEST_MISMATCH, name + " on flash")
            with open(whole, "rb") as content:
                bundle.expect(bundle.copy(content, int(length), view), wanted, name + " on flash")
            count += 1
            idle()
    actual = binascii.hexlify(digest.digest()).decode()
    bundle.expect(actual, statement["index"]["sha256"], "index on flash")
    if count != sum(1 for _ in walk(path(root, slot), False)):
        raise RefusedError(DIGEST_MISMATCH, "a file that no index names")


class _Hashed:
    # A source that hashes what passes, so that the lines used are the lines hashed.
    def __init__(self, source, digest):
        self._source = source
        self._digest = digest

    def readinto(self, view):
        n = self._source.readinto(view)
        self._digest.update(view[:n])
        return n


def _create(folder, name):
    cut = name.find("/")
    while cut >= 0:
        try:
            os.mkdir(folder + "/" + name[:cut])
        except OSError:
            pass  # there already; if not, open() says so
        cut = name.find("/", cut + 1)
    return open(folder + "/" + name, "wb")


def walk(folder, folders):
    """Yield the files below `folder`, and with `folders` each folder once it was yielded empty."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        whole = folder + "/" + name
        if os.stat(whole)[0] & _FOLDER:
            yield from walk(whole, folders)
            if folders:
                yield whole
        else:
            yield whole


def _exists(name):
    try:
        return os.stat(name)[6] >= 0
    except OSError:
        return False


def _remove(name):
    # MicroPython's os.remove also removes an empty folder of littlefs; CPython's does not.
    try:
        os.remove(name)
    except OSError:
        try:
            os.rmdir(name)
        except OSError:
            pass
