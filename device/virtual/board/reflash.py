# micropython reflash.py FOLDER PROGRAM: firmware updates of an ESP32, on SIMULATED partitions and
# a SIMULATED boot loader (partitions.py), cut at every program and erase. Real are MicroPython,
# the agent's module with all that it checks, and littlefs. FOLDER has the agent in rom/, plan.json
# and the files that it names. Prints WRONG and a line for what must not be.
import gc
import json
import os
import sys

import partitions
import ram

_FILES = 16  # sectors of littlefs
_STARTS = 30  # without coming to rest
_AGAIN = 7  # every so-manieth cut is followed by another one

folder, program = sys.argv[1], int(sys.argv[2])
with open(folder + "/plan.json") as f:
    plan = json.load(f)
files = {}
for name in plan["files"]:
    with open(folder + "/" + name, "rb") as f:
        files[name] = f.read()
blocks = plan["blocks"]
os.mount(os.VfsPosix(folder + "/rom"), "/rom")
sys.path[:] = ["/rom"]


class Front:
    """The sectors of littlefs."""

    def __init__(self, flash):
        self.prog = flash.prog
        self._flash = flash
        self.readblocks = flash.readblocks
        self.writeblocks = flash.writeblocks

    def ioctl(self, operation, argument):
        return _FILES if operation == 4 else self._flash.ioctl(operation, argument)


class ResetError(BaseException):
    pass


class Esp32:
    Partition = partitions.Partition


class Source:
    """A bundle from memory."""

    def __init__(self, content):
        self._rest = memoryview(content)

    def readinto(self, view):
        n = min(len(view), len(self._rest), 700)
        view[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def close(self):
        pass


sys.modules["esp32"] = Esp32()

from ota import hal, native, state  # noqa: E402 - from the agent's folder

hal.log = lambda *_: None


class Agent:
    """What ota/native.py needs of ota.agent.Agent."""

    def __init__(self, device):
        self.root = ""
        self.state, _ = state.load("/kiln")
        self.device = device
        self.voice = self
        self.fresh = self.trying = False
        self.said = []
        self.skip = self.postponed = 0

    def say(self, *words):
        self.said.append(words)

    def postpone(self, _seq):
        self.postponed += 1

    def save(self):
        state.save("/kiln", self.state)
        return True

    def turn(self):
        pass

    def restart(self, why):
        raise ResetError


class Board:
    """A chip, switched on and off."""

    def __init__(self, data, act, log=None):
        self.data, self.act = data, act
        self.flash = ram.Flash(data, program, log)
        self.chip = partitions.Chip(self.flash, _FILES, blocks, act.get("rollback", True))
        self.wrong = []
        self.starts = []
        self.agent = None

    def new(self):
        """As it left the box: old firmware in the first partition, an order to take another."""
        front = Front(self.flash)
        os.VfsLfs2.mkfs(front, progsize=program, readsize=program)
        ram.mount(os.VfsLfs2(front, progsize=program, readsize=program))
        os.mkdir("/kiln")
        for name, content in self.act["kiln"].items():
            with open("/kiln/" + name, "wb") as f:
                f.write(files[content])
        partitions.Partition.chip = self.chip
        target = partitions.Partition("ota_0")
        old = files[plan["images"]["old"]]
        target.writeblocks(0, old + b"\xff" * (-len(old) % 4096))

    def live(self):
        """Start again and again until it rests; the name of the firmware that runs then."""
        partitions.Partition.chip = self.chip
        for _ in range(_STARTS):
            name = self.started()
            self.starts.append(name)
            if name == "bad":
                continue  # it stops before the agent starts, and the watchdog bites
            try:
                if self.run(name):
                    return name
            except ResetError:
                pass
        self.wrong.append("goes round in circles")
        return ""

    def started(self):
        content = self.chip.content(self.chip.boot())
        for name, file in plan["images"].items():
            image = files[file]
            if content[: len(image)] == image:
                return name
        self.wrong.append("starts what is no whole firmware")
        return ""

    def run(self, name):
        front = Front(self.flash)
        ram.mount(os.VfsLfs2(front, progsize=program, readsize=program))
        self.agent = agent = Agent(plan["device"])
        native.open_source = lambda _agent, wanted: Source(files[self.act["serves"]])
        native.start(agent)
        if agent.trying and name == "mute":
            return False  # no report is acknowledged: trial_s passes
        if agent.trying:
            native.confirm(agent)
        native.look(agent)
        return True


def judge(board, last, what):
    """Print what is wrong with a board that came to rest on the firmware `last`."""
    act, wrong = board.act, board.wrong
    kept = native._load("")
    if last != act["ends"]:
        wrong.append("ends with " + last)
    if kept["trial"] is not None or kept["counter"] != act["counter"]:
        wrong.append("record " + json.dumps(kept))
    if kept["failed"] != act["failed"]:
        wrong.append("failed is " + kept["failed"])
    box = board.agent.state["outbox"]
    said = board.agent.said  # of what is tried again nothing is kept
    reason = box["reason"] if box else said[0][1] if said else ""
    if reason != act["reason"] or bool(said) != act["again"] or board.agent.postponed != len(said):
        wrong.append("reports " + json.dumps([box, said]))
    if len([name for name in board.starts if name != "old"]) > act["tries"]:
        wrong.append("starts %s" % board.starts)
    for text in wrong:
        print("WRONG", act["name"], what, text)


def cut_everywhere(act, base, log, room, data):
    pictures, count = ram.Pictures(base, log, room), 0
    for cut in range(len(log)):
        for torn in (False, True):
            pictures.draw(cut, torn, data)
            board = Board(data, act)
            if count % _AGAIN == 0:
                count += cut_again(act, data, "cut %d" % cut)
                pictures.draw(cut, torn, data)
                board = Board(data, act)
            judge(board, board.live(), "cut %d %s" % (cut, torn))
            count += 1
        gc.collect()
    return count


def cut_again(act, data, what):
    # One more cut in what follows the first, in the middle of it.
    base = bytes(data)
    first = Board(data, act)
    first.live()
    log = first.flash.log
    if not log:
        return 0
    room = bytearray(len(base))
    ram.Pictures(base, log, room).draw(len(log) // 2, True, data)
    board = Board(data, act)
    judge(board, board.live(), what + " and again")
    return 1


def main():
    size = (_FILES + 2 * blocks + 2) * 4096
    data, room = bytearray(size), bytearray(size)
    for act in plan["acts"]:
        data[:] = b"\xff" * size
        Board(data, act).new()
        base = bytes(data)
        board = Board(data, act)
        judge(board, board.live(), "uncut")
        log = board.flash.log
        count = cut_everywhere(act, base, log, room, data) if act["cut"] else 0
        print("cuts", act["name"], count)


main()
