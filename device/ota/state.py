# What the agent must not forget, in one small file. The pointers to slot and configuration and the
# trial live in the same file, so that switching is ONE rename: before it the old release runs,
# after it the new one. What is in it, and how it changes: ota/moves.py.
import json
import os

from micropython import const

_LIMIT = const(4096)  # bytes of the file; no state of ours is longer

CONFIRMED = "confirmed"
DOWNLOADING = "downloading"
IDLE = "idle"
REFUSED = "refused"
ROLLED_BACK = "rolled_back"
STAGED = "staged"
TRIAL = "trial"


def other(slot):
    return "b" if slot == "a" else "a"


def in_force(state):
    """The digest of the configuration in force, "" for the one as enrolled."""
    return state["configs"][state["config"]] if state["config"] else ""


def reconfigured(state):
    """Whether a trial is on that changed the configuration."""
    return bool(state["trial"]) and state["trial"]["config"] != state["config"]


def load(folder):
    """(state, intact): the state kept in `folder`, an empty one if none or it is damaged."""
    from ota import app, store

    try:
        return store.load(folder)
    finally:
        app.forget("store", "moves")


def save(folder, state):
    """Replace the state file in one rename. Raises OSError when flash is full or broken."""
    # First the floor, then the state: a cut between them leaves a higher floor and the old release
    # running, which is safe; the reverse order would leave a way back.
    names = ("counter", "agent", "seq", "wanted", "epochs", "day")
    floor = {name: state[name] for name in names}
    if read(folder + "/floor.json") != floor:
        _replace(folder + "/floor.json", floor)
    _replace(folder + "/state.json", state)


def _replace(path, value):
    temporary = path + ".new"
    with open(temporary, "w") as f:
        f.write(json.dumps(value))
    os.rename(temporary, path)


def read(path):
    """The JSON in a small file, None if there is none."""
    try:
        if os.stat(path)[6] > _LIMIT:
            return None
        with open(path) as f:
            return json.loads(f.read())
    except (OSError, ValueError):
        return None
