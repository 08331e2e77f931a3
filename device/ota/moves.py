# How what the agent must not forget (ota/state.py) changes, one function an event; what an order
# changes is in ota/wants.py. Imported when needed, and forgotten.
#
# The functions change the dict; the caller saves it once. Keys:
#   active   "a", "b" or "" (nothing installed)
#   a, b     what each slot holds: {"release", "version", "counter"} or None
#   config   which /kiln/config.* is in force: "a", "b" or "" (as enrolled)
#   configs  {"a", "b"}: digest of the configuration in each of them, or ""
#   trial    None, or {"back": slot to return to, "config": the same for the configuration,
#            "boots": starts so far, "sleeps": starts that ended in an orderly sleep}
#   seq      highest sequence number accepted; wanted: what it asked for, as wants.order() names it
#   counter  lowest release counter accepted
#   agent    floor of agents that were confirmed: release epoch << 31 | counter
#   epochs   [release, director]: the epochs of the root document that counter and seq belong to
#   time     highest signed Unix seconds seen; saved when the state is saved anyway
#   unheard  seconds without a signed time, when the state was saved
#   day      [day number of `time`, orders begun with or answered on that day]
#   left     which order was the last of them: three bytes of its SHA-256
#   failed   the seq whose release failed or was refused, 0 if none: not tried again
#   tries    attempts in a row that failed for the time being, for the pause before the next
#   outbox   None, or the outcome not yet acknowledged: {"state", "reason", "detail", "release"}
#   last     "", or "reason: detail" of the last roll-back
#   crashes  crashes in a row of a confirmed release, for the pause between restarts
from micropython import const

from ota.state import CONFIRMED, REFUSED, ROLLED_BACK, other

_DETAIL_LIMIT = const(200)  # characters
_LAST_LIMIT = const(120)  # characters


def empty():
    return {
        "active": "",
        "a": None,
        "b": None,
        "config": "",
        "configs": {"a": "", "b": ""},
        "trial": None,
        "seq": 0,
        "wanted": "",
        "counter": 0,
        "agent": 0,
        "epochs": [1, 1],
        "time": 0,
        "unheard": 0,
        "day": [0, 0],
        "left": 0,
        "failed": 0,
        "tries": 0,
        "outbox": None,
        "last": "",
        "crashes": 0,
    }


def rebase(state, epochs):
    """Take up the epochs [release, director] of a root document: a higher one frees its floor.

    True when something changed. Never goes back.
    """
    changed = False
    if epochs[0] > state["epochs"][0]:
        state["epochs"][0] = epochs[0]
        state["counter"] = 0
        changed = True
    if epochs[1] > state["epochs"][1]:
        state["epochs"][1] = epochs[1]
        state["seq"] = state["failed"] = 0
        state["wanted"] = ""
        # A stolen key may have said that it is 2100, when every good order would be past its end.
        state["time"], state["day"] = 0, [0, 0]
        changed = True
    return changed


def refuse(state, desired, reason, detail):
    """The release of `desired` is not accepted, and not tried again under this seq."""
    state["failed"] = desired["seq"]
    post(state, REFUSED, reason, detail, desired["release"])


def begin_trial(state, record, config=None):
    """Switch: from the next start on the inactive slot runs, which holds `record`, checked.

    With `record` None the same release runs on. `config` is the configuration slot to use then,
    "" for the one as enrolled, None to change nothing.
    """
    back = state["active"]
    if record is not None:
        state["active"] = other(back)
        state[state["active"]] = record
    state["trial"] = {"back": back, "config": state["config"], "boots": 0, "sleeps": 0}
    if config is not None:
        state["config"] = config
    state["crashes"] = state["tries"] = 0


def count_boot(state, limit):
    """Count a start on trial; False once `limit` starts were used up."""
    state["trial"]["boots"] += 1
    return state["trial"]["boots"] <= limit


def confirm(state):
    """The trial is won: the counter floor rises, there is no way back below it."""
    record = state[state["active"]]
    state["trial"] = None
    state["counter"] = max(state["counter"], record["counter"])
    post(state, CONFIRMED, "", "", record["release"])


def roll_back(state, reason, detail):
    """The trial is lost: slot and configuration from before are active again."""
    failed, trial = state["active"], state["trial"]
    release = state[failed]["release"] if state[failed] else ""
    if trial["back"] != failed:
        state[failed] = None
    if state["config"] != trial["config"] and state["config"]:
        state["configs"][state["config"]] = ""
    state["active"] = trial["back"]
    state["config"] = trial["config"]
    state["trial"] = None
    state["failed"] = state["seq"]
    # The end of a long sentence counts: there are file and line.
    state["last"] = reason + ": " + detail[-(_LAST_LIMIT - 2 - len(reason)) :]
    post(state, ROLLED_BACK, reason, detail, release)


def drop(state, slot):
    """The active slot cannot start: use the other one if it holds a confirmed release."""
    state[slot] = None
    state["active"] = other(slot) if state[other(slot)] else ""


def post(state, what, reason, detail, release):
    """Keep this outcome until the broker acknowledged it."""
    state["outbox"] = {
        "state": what,
        "reason": reason,
        "detail": detail[:_DETAIL_LIMIT],
        "release": release,
    }
