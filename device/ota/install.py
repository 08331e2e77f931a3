# Filling a slot. Only the inactive slot is ever written. Imported for an update.
# A supply gives what a slot is filled with: index(size, sink), file(digest, size, sink), end();
# with pause() it gives back what heap it can until the next of these.
import binascii
import hashlib
import os

from micropython import const

from ota import app, bundle, slots
from ota.reason import RefusedError

_FOLDER = const(0x4000)  # st_mode of a folder
_FOLDER_BLOCKS = const(2)  # littlefs keeps the entries of a folder in a pair of blocks
_INLINE = const(512)  # littlefs may keep files up to this beside their name
_RESERVE_BLOCKS = const(6)  # left free for the state file, the statement and littlefs itself
_IDLE_BYTES = const(4096)


class Sink:
    """Hashes what is written to it, and passes it on to the open file `f`, if any.

    `idle` is called now and then.
    """

    def __init__(self, f, idle):
        self._file = f
        self._idle = idle
        self._hash = hashlib.sha256()
        self._quiet = 0

    def write(self, part):
        self._hash.update(part)
        if self._file is not None:
            self._file.write(part)
        self._quiet += len(part)
        if self._quiet >= _IDLE_BYTES:
            self._quiet = 0
            self._idle()

    def expect(self, wanted, what):
        """Raise RefusedError unless the SHA-256 of all is `wanted` (hex)."""
        if binascii.hexlify(self._hash.digest()).decode() != wanted:
            raise RefusedError("digest_mismatch", what)


def clear(root, slot):
    """Empty the slot."""
    # The statement first: without it nothing takes what is left for a release.
    for name in (slots.statement_path(root, slot), slots.index_path(root, slot)):
        _remove(name)
    for name in walk(slots.path(root, slot), True):
        _remove(name)
    _remove(slots.path(root, slot))


def fill(source, statement, root, slot, idle):
    """The same as `write` from the bundle in `source`, whose statement was read and verified."""
    write(bundle.Files(source), statement, root, slot, idle)


def write(supply, statement, root, slot, idle, jws=b"", leave=None):
    """Write the files of a release into `slot`, which is emptied once it is sure that they fit.

    `jws` is the statement as it was signed, kept beside the index; `leave` is called before the
    slot is emptied. Raises RefusedError; OSError when flash fails.
    """
    folder = slots.path(root, slot)
    size = statement["index"]["size"]
    new = root + "/kiln/new.index"
    leave = leave or idle
    if _room(statement, root, slot):
        _take_index(supply, statement, new, root, slot, idle)
        leave()
        clear(root, slot)
    else:
        leave()
        clear(root, slot)
        _take_index(supply, statement, new, root, slot, idle)
    os.rename(new, slots.index_path(root, slot))
    os.mkdir(folder)
    with open(slots.index_path(root, slot), "rb") as f:
        for raw in bundle.lines(f, size, memoryview(bytearray(128))):
            digest, length, name = raw.decode().split(" ")
            with _create(folder, name) as target:
                sink = Sink(target, idle)
                supply.file(digest, int(length), sink)
            sink.expect(digest, name)
            idle()
    supply.end()
    if jws:
        with open(slots.statement_path(root, slot), "wb") as f:
            f.write(jws)


def _room(statement, root, slot):
    # Whether there is room for the index beside what the slot holds; no_space when the files fit
    # in no case.
    v = os.statvfs(root or "/")
    index = -(-statement["index"]["size"] // v[1])
    _expect_room(_RESERVE_BLOCKS + index + statement["size"] // v[1], v, root, slot)
    return slots.free_blocks(v) > index + 2


def _expect_room(needed, v, root, slot):
    free = slots.free_blocks(v) + _blocks(slots.path(root, slot), v[1])
    if needed > free:
        raise RefusedError("no_space", "%d blocks needed, %d free" % (needed, free))


def _take_index(supply, statement, new, root, slot, idle):
    size = statement["index"]["size"]
    try:
        with open(new, "wb") as f:
            sink = Sink(f, idle)
            supply.index(size, sink)
        sink.expect(statement["index"]["sha256"], "index")
        supply.pause()  # the look at the index wants the room
        v = os.statvfs(root or "/")
        _expect_room(_RESERVE_BLOCKS + _needed(new, statement, v[1]), v, root, slot)
    except BaseException:
        _remove(new)
        raise


def _needed(index, statement, size):
    from ota import listing

    try:
        return listing.blocks(index, statement, size)
    finally:
        app.forget("listing")


def _blocks(folder, size):
    # Blocks that emptying the slot gives back, at least.
    blocks = 0
    for name in walk(folder, True):
        stat = os.stat(name)
        if stat[0] & _FOLDER:
            blocks += _FOLDER_BLOCKS
        elif stat[6] > _INLINE:
            blocks += -(-stat[6] // size)
    return blocks


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
    """Yield the files below `folder`, and with `folders` each folder once it was yielded empty.

    By a list and not by calling itself: a call takes 288 bytes of the C stack, and of 16 KB on an
    ESP32 folders in folders would soon leave none.
    """
    trail = [_names(folder)]  # what is yet to come of each folder on the way down
    while True:
        if trail[-1]:
            whole = folder + "/" + trail[-1].pop()
            if os.stat(whole)[0] & _FOLDER:
                folder = whole
                trail.append(_names(folder))
            else:
                yield whole
            continue
        trail.pop()
        if not trail:
            return
        if folders:
            yield folder
        folder = folder[: folder.rfind("/")]


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _remove(name):
    # MicroPython's os.remove also removes an empty folder of littlefs; CPython's does not.
    try:
        os.remove(name)
    except OSError:
        try:
            os.rmdir(name)
        except OSError:
            pass
