# micropython unpack.py FLASH bundle|pack NAME [run]: install the release of /in/NAME.json from the
# bundle or pack /in/NAME on a flash file, as an update does after its download; with `run` it is
# the release that runs from then on. Prints one line: taken, or why not, and what it cost.
import gc
import json
import os
import sys
import time

import block

path, kind, name = sys.argv[1:4]
run = len(sys.argv) > 4
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
    with open("/in/" + name, "rb") as source:
        take = update.take_pack if kind == "pack" else update.take
        return take(source, desired, agent, lambda: None)


hal.log = lambda *words: None
agent = Agent()
with open("/in/" + name + ".json") as f:
    desired = json.loads(f.read())
gc.collect()
operations, start = flash.operations, time.ticks_ms()
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
spent = time.ticks_diff(time.ticks_ms(), start)
v = os.statvfs("/")
print(outcome)
print("ms", spent, "operations", flash.operations - operations, "free", v[1] * v[3])
