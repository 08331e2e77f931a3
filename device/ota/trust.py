# The keys that this device believes, by role: trust.json, which is the payload of the newest root
# document that it took (docs/ota.md, "Root document"). Read when needed: a key is 1 KB of heap.
import json
import os

from micropython import const

from ota.reason import RefusedError

LIMIT = const(8192)  # bytes of the file
PATH = "/kiln/trust.json"
COPY = ".copy"  # of it: whoever takes the keys away leaves a board that believes nobody


def keys(root, role):
    """The keys of "root", "release" or "director" in trust.json: [{"kid", "n" hex, "e"}].

    Raises RefusedError where there is none: without a key nothing is believed.
    """
    found = load(root).get(role)
    if type(found) is not list or not all(sound(key) for key in found):
        raise RefusedError("bad_signature", "trust.json is malformed")
    return found


def load(root):
    """trust.json as a dict, or its copy. Raises RefusedError where neither can be read."""
    path = root + PATH
    found = read(path)
    if found is None:
        found = read(path + COPY)
    if found is None:
        raise RefusedError("bad_signature", "trust.json cannot be read")
    return found


def read(path):
    """The same of one file, None where it cannot be read."""
    try:
        if os.stat(path)[6] > LIMIT:
            return None
        # From the file, not from a text of it: that would want 8 KB of the heap in one piece.
        with open(path) as f:
            found = json.load(f)
        return found if type(found) is dict else None
    except (OSError, ValueError):
        return None


def facts(root):
    """(version, expires, [release epoch, director epoch]) of trust.json.

    Version 0 is that of keys without a root key, as devices of Kiln 0.1 have them: no document can
    follow, and both epochs are 1.
    """
    try:
        found = load(root)
    except RefusedError:
        return 0, 0, [1, 1]
    epochs = found.get("epochs", {})
    numbers = [found.get("version", 0), found.get("expires", 0)]
    numbers += [epochs.get(role, 1) for role in ("release", "director")]
    return numbers[0], numbers[1], numbers[2:]


def adopt(agent):
    """Take up what trust.json says: `agent.facts`, and the floors of its epochs."""
    agent.facts = facts(agent.root)
    if agent.facts[2] == agent.state["epochs"]:
        return
    from ota import hal, moves

    if moves.rebase(agent.state, agent.facts[2]):
        hal.log("floors of new epochs", agent.facts[2])


def size(root, name=""):
    """Bytes of trust.json or its copy, 0 where there is none."""
    try:
        return os.stat(root + PATH + name)[6]
    except OSError:
        return 0


def sound(key):
    """Whether `key` has the shape of a key."""
    return type(key) is dict and all(
        type(key.get(name)) is kind for name, kind in (("kid", str), ("n", str), ("e", int))
    )
