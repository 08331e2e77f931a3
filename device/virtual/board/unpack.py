# unpack FLASH bundle|pack|signature|nothing NAME [run]: install the release that the order
# /in/NAME.json names from the bundle or pack /in/NAME on a flash file, as an update does after its
# download; or only check its signature; or only start. With `run` it is the release that runs from
# then on. Prints two lines: taken, or why not; then the ms of check, install and last look, flash
# operations and free bytes.
import gc
import json
import os
import sys
import time

import block

path, kind, name = sys.argv[-3:] if sys.argv[-1] != "run" else sys.argv[-4:-1]
run = sys.argv[-1] == "run"
flash = block.Flash(path)
os.umount("/")
block.mount(flash, "/")
os.chdir("/")
sys.path[:] = [".frozen", "/lib"]
sys.modules.pop("block", None)

from ota import hal, state, update  # noqa: E402 - only now can it be found
from ota.reason import RefusedError  # noqa: E402


class Agent:
    """As much of ota.agent.Agent as an update needs."""

    def __init__(self):
        self.root = ""
        self.state, _ = state.load("/kiln")
        with open("/kiln/device.json") as f:
            self.device = json.loads(f.read())

    def save(self):
        state.save("/kiln", self.state)
        return True


def install(agent, desired):
    if kind == "nothing":
        return None
    with open("/in/" + name, "rb") as source:
        if kind == "signature":
            from ota import head

            return update._believe(head.read(source), desired, agent)
        take = update.take_pack if kind == "pack" else update.take
        return take(source, desired, agent, lambda: None)


steps = [0, 0, 0]  # milliseconds: signature, files, last look


def timed(module, function, step, prepare=None):
    """Count the time of `module.function` as that of a step; `prepare` is called before."""
    inner = getattr(module, function)

    def outer(*words):
        if prepare:
            prepare()
        start = time.ticks_ms()
        try:
            return inner(*words)
        finally:
            steps[step] += time.ticks_diff(time.ticks_ms(), start)

    setattr(module, function, outer)


hal.log = lambda *words: None
timed(update, "_believe", 0)
timed(update, "_fill", 1)
timed(update, "_look", 2)
agent = Agent()
with open("/in/" + name + ".json") as f:
    desired = json.loads(f.read())
gc.collect()
operations = flash.operations
try:
    record = install(agent, desired)
    outcome = "taken"
    if run:
        slot = state.other(agent.state["active"])
        agent.state[slot] = record
        agent.state["active"] = slot
        agent.save()
except RefusedError as e:
    outcome = "refused " + e.reason
except (OSError, EOFError, ValueError, MemoryError) as e:
    outcome = "failed " + repr(e)
v = os.statvfs("/")
print(outcome)
print(*steps, flash.operations - operations, v[1] * v[3])
