# MicroPython: power cuts at every program and erase of a board's life. Run by the tests:
#   micropython powercut.py FOLDER PROGRAM_BYTES prepare
#   micropython powercut.py FOLDER PROGRAM_BYTES cut SEED COUNT ACT...
# FOLDER holds plan.json and what it names (tests/integration/device/plan.py). `prepare` lives each
# act once and keeps the chip after it; `cut` lives COUNT cuts of each act (0: all of them).
# Prints WRONG and why for each outcome that must not be, and how many cuts each act had.
import json
import random
import sys
import time

FOLDER, PROGRAM = sys.argv[1], int(sys.argv[2])
TWICE = 8  # each so many cuts, a second one falls into what follows the first

import judge  # noqa: E402 - found beside this file
import life  # noqa: E402
import ram  # noqa: E402


def read(name):
    with open(FOLDER + "/" + name, "rb") as f:
        return f.read()


PLAN = json.loads(read("plan.json"))
FILES = {name: read(name) for name in PLAN["files"]}


def image(act):
    """The name of the file that keeps the chip at the beginning of `act`."""
    return "%s.%d.img" % (act["name"], PROGRAM)


class Acts:
    """The acts of the plan, in `world`."""

    def __init__(self, world):
        self._world = world
        self.say = world.say
        size = PLAN["blocks"] * ram.ERASE
        self._chip, *self._rooms = [bytearray(size) for _ in range(3)]

    def live(self, act):
        """One life of the chip in the surroundings of `act`: (life, what is wrong)."""
        lived = life.Life(self._world, ram.Flash(self._chip, PROGRAM))
        life.surround(self._world, act["world"], FILES)
        wrong = lived.live() or judge.judge(PLAN, act, lived)
        return lived, wrong

    def prepare(self):
        """Live each act without a cut, on the chip that the act before it left."""
        life.lay_out(ram.Flash(self._chip, PROGRAM), FILES)
        ends = {"": bytes(self._chip)}
        for act in PLAN["acts"]:
            self._chip[:] = ends[act["base"]]
            life.edit(ram.Flash(self._chip, PROGRAM), act["edits"], FILES)
            life.Host(FOLDER).write(image(act), self._chip)
            lived, wrong = self.live(act)
            if wrong:
                self.explain("WRONG %s without a cut: %s" % (act["name"], wrong))
            ends[act["name"]] = bytes(self._chip)
            self.say("act", act["name"], len(lived.flash.log), "operations")

    def cut(self, act, count):
        """Cut the power in `act`; how many cuts that were."""
        base = life.Host(FOLDER).read(image(act))
        self._chip[:] = base
        log = self.live(act)[0].flash.log
        pictures = ram.Pictures(base, log, self._rooms[0])
        done = 0
        for cut, torn in chosen(len(log), count):
            pictures.draw(cut, torn, self._chip)
            lived, wrong = self.live(act)
            done += 1
            if wrong:
                self.explain("WRONG %s cut %d torn %s: %s" % (act["name"], cut, torn, wrong))
            elif done % TWICE == 0 and lived.flash.log:
                done += 1
                pictures.draw(cut, torn, self._chip)
                self._again(act, lived.flash.log, (cut, torn))
        return done

    def _again(self, act, log, first):
        cut, torn = random.randrange(len(log)), bool(random.getrandbits(1))
        ram.Pictures(self._chip, log, self._rooms[1]).draw(cut, torn, self._chip)
        _, wrong = self.live(act)
        if wrong:
            where = "%d torn %s, then %d torn %s" % (first + (cut, torn))
            self.explain("WRONG %s cut %s: %s" % (act["name"], where, wrong))

    def explain(self, text):
        self.say(text)
        for words in self._world.lines[-12:]:
            self.say("   ", *words)


def chosen(operations, count):
    """Which cuts to make, in rising order: (operation, torn)."""
    every = range(operations * 2)
    if count and count < operations * 2:
        every = sorted({random.randrange(operations * 2) for _ in range(count)})
    return ((number >> 1, bool(number & 1)) for number in every)


def main():
    acts = Acts(life.World())
    if sys.argv[3] == "prepare":
        acts.prepare()
        return
    random.seed(int(sys.argv[4]))
    count, names = int(sys.argv[5]), sys.argv[6:]
    for act in PLAN["acts"]:
        if act["name"] in names:
            start = time.ticks_ms()
            done = acts.cut(act, count)
            acts.say("cuts", act["name"], done, time.ticks_diff(time.ticks_ms(), start), "ms")


main()
