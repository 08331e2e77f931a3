# MicroPython: what a power cut at every program and erase of an update leaves, for the sequences
# of models.py and for Kiln's agent. Run by tests/integration/device/test_sequences.py:
#   micropython sequences.py FOLDER PROGRAM_BYTES littlefs|fat
# FOLDER holds a plan with the acts `first` and `update`. Prints a line of JSON for each sequence.
import gc
import json
import os
import random
import sys

FOLDER, PROGRAM, KIND = sys.argv[1], int(sys.argv[2]), sys.argv[3]
BLOCKS = 160  # FAT wants more than 128
OUTCOMES = ("old", "new", "mixed", "broken")

import life  # noqa: E402 - found beside this file
import models  # noqa: E402
import ram  # noqa: E402


def read(name):
    with open(FOLDER + "/" + name, "rb") as f:
        return f.read()


PLAN = json.loads(read("plan.json"))
FILES = {name: read(name) for name in PLAN["files"]}
OLD, NEW = ({path: read(name + "/" + path) for path in PLAN["paths"]} for name in ("one", "two"))


CHIP = ram.Whole if KIND == "fat" else ram.Flash


def make(flash):
    kind = os.VfsFat if KIND == "fat" else os.VfsLfs2
    if KIND == "fat":
        kind.mkfs(flash)
    else:
        kind.mkfs(flash, progsize=PROGRAM, readsize=PROGRAM)
    mount(flash)


def mount(flash):
    ram.mount(os.VfsFat(flash) if KIND == "fat" else ram.littlefs(flash))


def outcome():
    """What is in /app: all of one release, some of each, or something that cannot start."""
    kinds = set()
    for path in OLD:
        try:
            with open("/app/" + path, "rb") as f:
                content = f.read()
        except OSError:
            return "broken"
        kinds.add("old" if content == OLD[path] else "new" if content == NEW[path] else "broken")
    return "broken" if "broken" in kinds else "mixed" if len(kinds) > 1 else kinds.pop()


def fetcher(lost=None):
    def fetch(path):
        content = NEW[path]
        yield content[: len(content) // 2]
        if path == lost:
            raise OSError("line lost")
        yield content[len(content) // 2 :]

    return fetch


def count(base, log, look):
    """How often `look` finds which outcome, with a cut at each operation, clean and torn."""
    found = dict.fromkeys(OUTCOMES, 0)
    chip, room = bytearray(base), bytearray(base)
    pictures = ram.Pictures(base, log, room)
    for cut in range(len(log)):
        for torn in (False, True):
            pictures.draw(cut, torn, chip)
            found[look(CHIP(chip, PROGRAM))] += 1
        gc.collect()
    return found


def look(flash):
    try:
        mount(flash)
        return outcome()
    except OSError:  # FAT may not even mount
        return "broken"


def model(name, update):
    """Line for a model: outcomes of cuts, and of a line lost at each file."""
    flash = CHIP(bytearray(BLOCKS * ram.ERASE), PROGRAM)
    make(flash)
    models.in_place(OLD, lambda path: [OLD[path]])
    os.umount("/")
    base = bytes(flash.data)
    flash.log = []
    mount(flash)
    update(PLAN["paths"], fetcher())
    os.umount("/")
    log, lost = flash.log, []
    for path in PLAN["paths"]:
        flash = CHIP(bytearray(base), PROGRAM)
        mount(flash)
        try:
            update(PLAN["paths"], fetcher(path))
        except OSError:
            pass
        lost.append(outcome())
    say(name, count(base, log, look), lost)


def ours():
    """The same for the agent, whole: main.py, loader, download, install, switch."""
    random.seed(1)  # the pauses of every run alike: what is written says how long things took
    world = life.World()
    flash = CHIP(bytearray(BLOCKS * ram.ERASE), PROGRAM)
    life.lay_out(flash, FILES)
    acts = {act["name"]: act for act in PLAN["acts"]}
    run(world, flash, acts["first"])
    base = bytes(flash.data)
    flash.log = []
    run(world, flash, acts["update"])
    log = flash.log

    def started(flash):
        # No network: what starts is what the cut left.
        world.network.services = {}
        lived = life.Life(world, flash)
        sys.modules["probe"].curious = True
        lived.live()
        found = PLAN["trees"].get(lived.starts[0][0], "broken") if lived.starts else "broken"
        return {"one": "old", "two": "new"}.get(found, "broken")

    services = world.network.services
    found = count(base, log, started)
    lost = []
    for fault in PLAN["lost"]:
        world.network.services = services
        flash = CHIP(bytearray(base), PROGRAM)
        sys.modules["probe"].curious = False
        run(world, flash, acts["update"], [fault])
        lost.append(started(flash))
    say("Kiln", found, lost, world.say)


def run(world, flash, act, faults=()):
    life.surround(world, act["world"], FILES)
    world.server.faults = [dict(fault) for fault in faults]
    life.Life(world, flash).live()


def say(name, found, lost, write=print):
    write(json.dumps({"name": name, "cuts": found, "lost": lost}))


for name, update in models.MODELS:
    model(name, update)
if KIND != "fat":
    ours()
