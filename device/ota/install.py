# Filling a slot and checking it. Only the inactive slot is ever written. Imported for an update.
import binascii
import hashlib
import os

from micropython import const

from ota import bundle, slots
from ota.reason import RefusedError

_FOLDER = const(0x4000)  # st_mode of a folder
_FOLDER_BLOCKS = const(2)  # littlefs keeps the entries of a folder in a pair of blocks
_RESERVE_BLOCKS = const(6)  # left free for the state file, the index and littlefs itself


def clear(root, slot):
    """Empty the slot."""
    for name in walk(slots.path(root, slot), True):
        _remove(name)
    for name in (slots.path(root, slot), slots.index_path(root, slot)):
        _remove(name)


def fill(source, statement, root, slot, idle):
    """Write the files of a bundle, whose statement was read and verified, into the empty `slot`.

    `idle` is called between files. Raises RefusedError; OSError when flash fails.
    """
    view = memoryview(bytearray(512))
    index = slots.index_path(root, slot)
    size = statement["index"]["size"]
    with open(index, "wb") as f:
        actual = bundle.copy(source, size, view, f)
    bundle.expect(actual, statement["index"]["sha256"], "index")
    _check_index(index, statement, root)
    os.mkdir(slots.path(root, slot))
    with open(index, "rb") as f:
        for raw in bundle.lines(f, size, memoryview(bytearray(128))):
            digest, length, name = raw.decode().split(" ")
            with _create(slots.path(root, slot), name) as sink:
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
    blocks += _FOLDER_BLOCKS * (checked.folders() + 1)
    if blocks > v[4]:
        raise RefusedError("no_space", "%d blocks needed, %d free" % (blocks, v[4]))


def check(statement, root, slot, idle):
    """Read the index and every file back from flash and compare: the last look before the switch.

    Raises RefusedError unless the slot holds exactly the files of `statement`.
    """
    view = memoryview(bytearray(512))
    size = statement["index"]["size"]
    digest = hashlib.sha256()
    count = 0
    with open(slots.index_path(root, slot), "rb") as f:
        for raw in bundle.lines(_Hashed(f, digest), size, memoryview(bytearray(128))):
            wanted, length, name = raw.decode().split(" ")
            whole = slots.path(root, slot) + "/" + name
            if os.stat(whole)[6] != int(length):
                raise RefusedError("digest_mismatch", name + " on flash")
            with open(whole, "rb") as content:
                bundle.expect(bundle.copy(content, int(length), view), wanted, name + " on flash")
            count += 1
            idle()
    actual = binascii.hexlify(digest.digest()).decode()
    bundle.expect(actual, statement["index"]["sha256"], "index on flash")
    if count != sum(1 for _ in walk(slots.path(root, slot), False)):
        raise RefusedError("digest_mismatch", "a file that no index names")


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


def _remove(name):
    # MicroPython's os.remove also removes an empty folder of littlefs; CPython's does not.
    try:
        os.remove(name)
    except OSError:
        try:
            os.rmdir(name)
        except OSError:
            pass
