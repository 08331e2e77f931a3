# MicroPython: lives of a board whose power fails, on littlefs in RAM. Run by the tests:
#   micropython powercut.py FOLDER PROGRAM_BYTES STEP FIRST
# FOLDER holds lib/ota, kiln/, bundles and orders. The real agent runs; its download is replaced
# by a file and its restart by an exception. Prints one line for each outcome that must not be.
import gc
import io
import json
import os
import sys

FOLDER, PROGRAM, STEP, FIRST = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
ERASE = 4096
BLOCKS = 40
BLANK = b"\xff" * ERASE


class PowerCutError(BaseException):
    pass


class Flash:
    """The power fails at operation `cut`: before it, or in its middle when `torn`."""

    def __init__(self, data, cut=0, torn=False):
        self.data = data
        self.cut = cut
        self.torn = torn
        self.count = 0
        self.off = False  # the cut has come
        self.gone = False  # and what the collector still closes goes nowhere

    def readblocks(self, block, buffer, offset=0):
        at = block * ERASE + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        self._write(block * ERASE + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return ERASE
        if operation == 6:
            self._write(argument * ERASE, BLANK)
        return 0

    def _write(self, at, buffer):
        if self.gone:
            return
        if self.off:
            raise PowerCutError
        self.count += 1
        if self.count == self.cut:
            self.off = True
            half = len(buffer) // 2
            if self.torn:
                self.data[at : at + half] = memoryview(buffer)[:half]
            raise PowerCutError
        self.data[at : at + len(buffer)] = buffer


def read(name):
    with open(FOLDER + "/" + name, "rb") as f:
        return f.read()


CONFIG = {name: read("kiln/" + name) for name in ("device.json", "trust.json", "settings.json")}
BUNDLES = {name: read(name + ".bundle") for name in ("one", "two", "bad")}
ORDERS = {name: json.loads(read(name + ".json")) for name in BUNDLES}


def contents(bundle):
    """Path -> bytes of a bundle, read without the agent."""
    _, _, rest = bundle.split(b"\n", 2)
    files, lines = {}, []
    while rest[64:65] == b" " and rest.find(b"\n") > 0 and len(lines) < 9:
        line, rest = rest.split(b"\n", 1)
        lines.append(line.decode().split(" "))
        if sum(int(size) for _, size, _ in lines) == len(rest):
            break
    for _, size, path in lines:
        files[path], rest = rest[: int(size)], rest[int(size) :]
    return files


FILES = {name: contents(bundle) for name, bundle in BUNDLES.items()}

os.umount("/")
os.mount(os.VfsPosix(FOLDER), "/host")
sys.path[:] = [".frozen", "/host/lib"]

from ota import agent as agents, hal, notice, trial, update  # noqa: E402 - only now can it be found

hal.log = lambda *words: None


class Board(agents.Agent):
    """The agent on this flash, with `order` waiting at the broker."""

    def __init__(self, order):
        super().__init__()
        self._order = order
        desired = ORDERS[order]
        if notice.judge(desired, "d1", self.state, None) == notice.INSTALL:
            self.pending = desired

    def _fetch(self, desired):
        return update.take(io.BytesIO(BUNDLES[self._order]), desired, self, lambda: None)


def mount(flash):
    try:
        os.umount("/")
    except OSError:
        pass
    os.mount(os.VfsLfs2(flash, progsize=PROGRAM, readsize=PROGRAM), "/")


def tree(folder, prefix=""):
    found = {}
    for entry in os.ilistdir(folder):
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            found.update(tree(path, prefix + entry[0] + "/"))
        else:
            with open(path, "rb") as f:
                found[prefix + entry[0]] = f.read()
    return found


def started(board):
    """Which release is in the active slot, whole; "broken" if none is."""
    active = board.state["active"]
    files = tree("/" + active) if active else {}
    for name, wanted in FILES.items():
        if files == wanted:
            return name
    return "broken"


def live(flash, order, seen):
    """Start the board again and again until nothing changes any more; the release it runs."""
    for _ in range(12):
        mount(flash)
        try:
            board = Board(order)
            board.boot()
            name = started(board)
            seen.append(name)
            if name == "broken":
                return name
            if name == "bad":
                trial.crashed(board, "ImportError: bad")
            board.healthy()
            if board.state["trial"] is None:
                return name
        except SystemExit:
            continue
    return "restless"


def cut_life(base, order, cut, torn):
    """One life with one cut; ("", ...) when nothing is wrong, else what is."""
    flash = Flash(bytearray(base), cut, torn)
    seen = []
    try:
        live(flash, order, seen)
    except PowerCutError:
        pass
    if not flash.off:
        return None, flash.count
    again = Flash(bytearray(flash.data))
    flash.gone = True
    seen = []
    last = live(again, order, seen)
    wanted = "one" if order == "bad" else order
    if last != wanted or "broken" in seen:
        return "cut %d torn %s: %s, last %s" % (cut, torn, seen, last), 0
    return "", 0


def new():
    flash = Flash(bytearray(b"\xff" * (BLOCKS * ERASE)))
    os.VfsLfs2.mkfs(flash, progsize=PROGRAM, readsize=PROGRAM)
    mount(flash)
    os.mkdir("/kiln")
    for name, content in CONFIG.items():
        with open("/kiln/" + name, "wb") as f:
            f.write(content)
    return flash


empty = new().data
one = Flash(bytearray(empty))
if live(one, "one", []) != "one":
    print("WRONG: the first release did not install")
lives = 0
for order, base in (("one", empty), ("two", one.data), ("bad", one.data)):
    for torn in (False, True):
        cut = FIRST
        while True:
            wrong, _ = cut_life(base, order, cut, torn)
            if wrong is None:
                break
            if wrong:
                print("WRONG order", order, wrong)
            lives += 1
            cut += STEP
            gc.collect()
print("lives", lives)
