# Reading state.json and floor.json at a start, with a check of every field. Imported for that.
from ota import moves, state as states


def load(folder):
    """(state, intact): the state kept in `folder`, an empty one if there is none or it is damaged.

    The floors are kept a second time, so that losing the state file does not open the way back.
    """
    state = moves.empty()
    kept = states.read(folder + "/state.json")
    intact = type(kept) is dict and "active" in kept
    if intact:
        state.update(kept)
        intact = _sound(state)
        if not intact:
            state = moves.empty()
    floor = moves.empty()
    kept = states.read(folder + "/floor.json")
    if type(kept) is dict:
        floor.update(kept)
        if _sound(floor):
            _raise(state, floor)
    return state, intact


def _raise(state, floor):
    # A floor of an older epoch says nothing any more.
    moves.rebase(state, floor["epochs"])
    if floor["epochs"][0] == state["epochs"][0]:
        state["counter"] = max(state["counter"], floor["counter"])
    if floor["epochs"][1] == state["epochs"][1] and floor["seq"] > state["seq"]:
        state["seq"] = floor["seq"]
        state["wanted"] = floor["wanted"]
    for name in ("agent", "day"):
        state[name] = max(state[name], floor[name])


def _sound(state):
    # `state` holds every key, from empty() where the file had none: an older agent wrote fewer.
    if state["active"] not in ("", "a", "b") or state["config"] not in ("", "a", "b"):
        return False
    for name, value in moves.empty().items():
        kept = state[name]
        if name in ("a", "b"):
            good = kept is None or _has(kept, ("release", "version"), ("counter",))
        elif name == "trial":
            good = kept is None or _trial_sound(kept)
        elif name == "outbox":
            good = kept is None or _has(kept, ("state", "reason", "detail", "release"))
        elif name == "configs":
            good = _has(kept, ("a", "b"))
        elif type(value) is list:
            good = type(kept) is list and [type(n) for n in kept] == [int, int]
        else:
            good = type(kept) is type(value)
        if not good:
            return False
    if state["config"] and not states.in_force(state):
        return False
    return bool(state["trial"] is None or state["active"]) and (
        not state["active"] or state[state["active"]] is not None
    )


def _trial_sound(trial):
    if type(trial) is dict:
        trial.setdefault("config", "")
        trial.setdefault("sleeps", 0)
    return _has(trial, ("back", "config"), ("boots", "sleeps")) and all(
        trial[name] in ("", "a", "b") for name in ("back", "config")
    )


def _has(value, texts, numbers=()):
    return type(value) is dict and all(
        type(value.get(name)) is kind
        for names, kind in ((texts, str), (numbers, int))
        for name in names
    )
