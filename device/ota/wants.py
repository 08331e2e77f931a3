# What is ordered, against what runs and what was accepted; ota/moves.py says what is in the state.
# Imported when needed, and forgotten.
import hashlib

from micropython import const

from ota.state import CONFIRMED, in_force

_DAY_S = const(86400)


def order(desired):
    """What a desired state asks for, as one text: release, then configuration if there is one."""
    return desired["release"] + desired.get("config", "")


def runs(state):
    """The same of what runs, "" where nothing does."""
    record = state[state["active"]] if state["active"] else None
    return record["release"] + in_force(state) if record else ""


def unfinished(state):
    """Whether an order was accepted and is neither done nor given up."""
    return state["wanted"] not in ("", runs(state)) and state["failed"] != state["seq"]


def want(state, desired):
    """`desired` was accepted; older sequence numbers are refused from now on."""
    learn(state, desired.get("issued", 0))
    if desired["seq"] > state["seq"]:
        state["seq"] = desired["seq"]
        state["wanted"] = order(desired)
        state["failed"] = state["tries"] = 0


def count(state, raw):
    """The order `raw` is begun with or answered; an attempt at the last one again is none."""
    mark = _mark(raw)
    if mark != state["left"]:
        state["left"] = mark
        day = state["time"] // _DAY_S
        state["day"] = [day, state["day"][1] + 1 if state["day"][0] == day else 1]


def _mark(raw):
    # By its bytes: whoever has the director key can sign one seq in many ways.
    return int.from_bytes(hashlib.sha256(raw).digest()[:3], "big")


def learn(state, time):
    """A signed message says that it is not earlier than `time`, Unix seconds."""
    state["time"] = max(state["time"], time)


def spent(state, limit, raw):
    """Whether the day of `time` had `limit` orders already, and `raw` is not the last of them."""
    full = state["day"][0] == state["time"] // _DAY_S and state["day"][1] >= limit
    return full and _mark(raw) != state["left"]


def note(state, desired, raw):
    """A newer order `raw` for the release that runs already: answered, nothing to install."""
    count(state, raw)
    want(state, desired)
    if state["trial"] is None:
        from ota import moves

        moves.post(state, CONFIRMED, "", "", desired["release"])
