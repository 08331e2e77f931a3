# The first thing that runs on a board: chooses the agent, counts the starts of a new one, and goes
# back from one that does not work to the one before, at last to the one that came with the board.
# It is never updated, so it knows nothing of the agent but its name, and its own state file:
#
#   active   "a", "b" or "" (the agent that came with the board): which agent to start
#   counter, epoch   of that agent's release, 0 for the one that came with the board
#   trial    None, or {"back", "counter", "epoch": the same of the agent before, "boots": starts so
#            far, "release": digest}
#   failed   digest of the last agent that was left, "" if none
#   outcome  what went wrong with it, until the agent has taken note; "" if nothing
import json
import os
import sys

from micropython import const

_BOOTS = const(3)  # starts that a new agent may take to reach the broker
_LIMIT = const(1024)  # bytes of the file
_SILENT_MS = const(180000)  # a new agent that does nothing for so long has hung
_PAUSE_S = const(5)  # before the next start when there is no agent that works


def run(root=""):
    """Start an agent; does not return."""
    _mend(root)
    kept = load(root)
    trial = kept["trial"]
    if trial:
        trial["boots"] += 1
        if trial["boots"] > _BOOTS:
            leave(root, kept, "%d starts" % _BOOTS)
        elif not save(root, kept):
            # A start that is not counted could be the first of endlessly many.
            leave(root, kept, "the start could not be counted")
    while kept["active"] and not _is_there(root, kept["active"]):
        # The import would find another agent, which would be taken for the one that is wanted.
        leave(root, kept, "no agent in " + kept["active"])
    slot = kept["active"]
    if slot:
        sys.path.insert(0, root + "/kiln/agent/" + slot)
    restart = _restart()
    dog = _watchdog() if kept["trial"] else None
    _shed()
    try:
        import ota

        ota.run(kept, dog)
    except Exception as e:
        # Whatever happens now, and be it that there is no memory left: the board starts again.
        try:
            sys.print_exception(e)
            import ota_loader  # anew

            ota_loader.fail(root, slot, repr(e))
        finally:
            restart()


def fail(root, slot, why):
    """The agent in `slot` could not be imported or raised: not the next time."""
    if slot:
        leave(root, load(root), why)
    else:
        import time

        time.sleep(_PAUSE_S)


def _mend(root):
    # A rename that a power cut left half done keeps the file beside it out of sight in littlefs,
    # until something is about to change, be it what is not there.
    try:
        os.remove(root + "/kiln/nothing")
    except OSError:
        pass


def _is_there(root, slot):
    try:
        return os.stat(root + "/kiln/agent/" + slot + "/ota/__init__.mpy")[6] > 0
    except OSError:
        return False


def _shed():
    # run() stays on the stack for ever, and would keep the rest of this module: 2 KB of the heap
    # that the agent needs for signatures.
    del sys.modules["ota_loader"]
    names = globals()
    for name in (
        "load",
        "leave",
        "save",
        "fail",
        "_mend",
        "_is_there",
        "_restart",
        "_watchdog",
        "_shed",
    ):
        del names[name]


def load(root):
    """The state, that of a new board if there is none or it makes no sense."""
    kept = {"active": "", "counter": 0, "epoch": 0, "trial": None, "failed": "", "outcome": ""}
    try:
        path = root + "/kiln/agent.json"
        if os.stat(path)[6] > _LIMIT:
            raise ValueError
        with open(path) as f:
            found = json.loads(f.read())
        trial = found["trial"]
        if found["active"] not in ("", "a", "b"):
            raise ValueError
        if trial is not None:
            trial["boots"] + trial["counter"] + trial["epoch"]  # numbers
            if trial["back"] not in ("", "a", "b") or not found["active"]:
                raise ValueError
        if [type(found[name]) for name in kept if name != "trial"] == [
            type(kept[name]) for name in kept if name != "trial"
        ]:
            kept = found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return kept


def leave(root, kept, why):
    """Go back to the agent before, or from one that was good before to the one of the board."""
    trial = kept["trial"] or {}
    print("[loader] agent", kept["active"], "left:", why)
    kept["failed"] = trial.get("release", "")
    kept["outcome"] = why[:100]
    for name, new in (("active", "back"), ("counter", "counter"), ("epoch", "epoch")):
        kept[name] = trial.get(new, "" if name == "active" else 0)
    kept["trial"] = None
    save(root, kept)


def save(root, kept):
    """Replace the state file in one rename; False when that failed."""
    path = root + "/kiln/agent.json"
    try:
        with open(path + ".new", "w") as f:
            f.write(json.dumps(kept))
        os.rename(path + ".new", path)
    except OSError as e:
        print("[loader] not saved:", e)
        return False
    return True


def _watchdog():
    # For a new agent, which may hang; who would pull the plug of a board on a roof? Not where the
    # longest time it waits is shorter than a name server may take: 3 s on ESP8266, 8 s on rp2.
    if sys.platform in ("esp8266", "rp2"):
        return None
    try:
        from machine import WDT
    except ImportError:
        return None
    return WDT(timeout=_SILENT_MS)


def _restart():
    # What restarts the board. A host ends, and whoever started it starts it again.
    try:
        from machine import reset
    except ImportError:
        return lambda: sys.exit(3)
    return reset
