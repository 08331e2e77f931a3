# What the agent must not forget, in one small file. The slot pointer and the trial live in the
# same file, so that switching is ONE rename: before it the old release runs, after it the new one.
#
# The functions change the dict; the caller saves it once. Keys:
#   active   "a", "b" or "" (nothing installed)
#   a, b     what each slot holds: {"release", "version", "counter"} or None
#   trial    None, or {"back": slot to return to, "boots": starts so far}
#   seq      highest sequence number accepted; wanted: the release it asked for
#   counter  lowest release counter accepted
#   failed   the seq whose release failed or was refused, 0 if none: not tried again
#   outbox   None, or the outcome not yet acknowledged: {"state", "reason", "detail", "release"}
#   crashes  crashes in a row of a confirmed release, for the pause between restarts
import json
import os

from micropython import const

_LIMIT = const(2048)  # bytes of the file
_DETAIL_LIMIT = const(200)  # characters

CONFIRMED = "confirmed"
DOWNLOADING = "downloading"
IDLE = "idle"
REFUSED = "refused"
ROLLED_BACK = "rolled_back"
STAGED = "staged"
TRIAL = "trial"


def empty():
    return {
        "active": "",
        "a": None,
        "b": None,
        "trial": None,
        "seq": 0,
        "wanted": "",
        "counter": 0,
        "failed": 0,
        "outbox": None,
        "crashes": 0,
    }


def other(slot):
    return "b" if slot == "a" else "a"


def want(state, desired):
    """`desired` was accepted; older sequence numbers are refused from now on."""
    if desired["seq"] > state["seq"]:
        state["seq"] = desired["seq"]
        state["wanted"] = desired["release"]
        state["failed"] = 0


def note(state, desired):
    """A newer order for the release that runs already: answered, nothing to install."""
    want(state, desired)
    if state["trial"] is None:
        _post(state, CONFIRMED, "", "", desired["release"])


def refuse(state, desired, reason, detail):
    """The release of `desired` is not accepted, and not tried again under this seq."""
    state["failed"] = desired["seq"]
    _post(state, REFUSED, reason, detail, desired["release"])


def begin_trial(state, record):
    """The inactive slot holds `record`, checked: it is active from the next start on."""
    back = state["active"]
    slot = other(back)
    state[slot] = record
    state["active"] = slot
    state["trial"] = {"back": back, "boots": 0}
    state["crashes"] = 0


def count_boot(state, limit):
    """Count a start on trial; False once `limit` starts were used up."""
    state["trial"]["boots"] += 1
    return state["trial"]["boots"] <= limit


def confirm(state):
    """The trial is won: the counter floor rises, there is no way back below it."""
    record = state[state["active"]]
    state["trial"] = None
    state["counter"] = max(state["counter"], record["counter"])
    _post(state, CONFIRMED, "", "", record["release"])


def roll_back(state, reason, detail):
    """The trial is lost: the slot from before is active again ("" if there was none)."""
    failed = state["active"]
    release = state[failed]["release"] if state[failed] else ""
    state["active"] = state["trial"]["back"]
    state[failed] = None
    state["trial"] = None
    state["failed"] = state["seq"]
    _post(state, ROLLED_BACK, reason, detail, release)


def drop(state, slot):
    """The active slot cannot start: use the other one if it holds a confirmed release."""
    state[slot] = None
    state["active"] = other(slot) if state[other(slot)] else ""


def _post(state, what, reason, detail, release):
    state["outbox"] = {
        "state": what,
        "reason": reason,
        "detail": detail[:_DETAIL_LIMIT],
        "release": release,
    }


def load(folder):
    """(state, intact): the state kept in `folder`, an empty one if there is none or it is damaged.

    The floors are kept a second time, so that losing the state file does not open the way back.
    """
    state = empty()
    kept = _read(folder + "/state.json")
    intact = _sound(kept)
    if intact:
        state.update(kept)
    floor = _read(folder + "/floor.json")
    if type(floor) is dict and type(floor.get("counter")) is int and type(floor.get("seq")) is int:
        state["counter"] = max(state["counter"], floor["counter"])
        if floor["seq"] > state["seq"]:
            state["seq"] = floor["seq"]
            state["wanted"] = str(floor.get("wanted", ""))
    return state, intact


def save(folder, state):
    """Replace the state file in one rename. Raises OSError when flash is full or broken."""
    floor = _read(folder + "/floor.json")
    # First the floor, then the state: a cut between them leaves a higher floor and the old release
    # running, which is safe; the reverse order would leave a way back.
    if type(floor) is not dict or floor.get("counter") != state["counter"]:
        kept = {"counter": state["counter"], "seq": state["seq"], "wanted": state["wanted"]}
        _replace(folder + "/floor.json", kept)
    _replace(folder + "/state.json", state)


def _replace(path, value):
    temporary = path + ".new"
    with open(temporary, "w") as f:
        f.write(json.dumps(value))
    os.rename(temporary, path)


def _read(path):
    try:
        if os.stat(path)[6] > _LIMIT:
            return None
        with open(path) as f:
            return json.loads(f.read())
    except (OSError, ValueError):
        return None


def _sound(state):
    if type(state) is not dict or state.get("active") not in ("", "a", "b"):
        return False
    for name, value in empty().items():
        kept = state.get(name)
        if name in ("a", "b"):
            fields = (("release", str), ("version", str), ("counter", int))
            good = kept is None or _has(kept, fields)
        elif name == "trial":
            good = kept is None or (
                _has(kept, (("back", str), ("boots", int))) and kept["back"] in ("", "a", "b")
            )
        elif name == "outbox":
            fields = (("state", str), ("reason", str), ("detail", str), ("release", str))
            good = kept is None or _has(kept, fields)
        else:
            good = type(kept) is type(value)
        if not good:
            return False
    return bool(state["trial"] is None or state["active"])


def _has(value, fields):
    return type(value) is dict and all(type(value.get(name)) is kind for name, kind in fields)
