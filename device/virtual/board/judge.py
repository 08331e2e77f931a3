# Whether a life went as it must: judged from outside, by what started and what the flash holds.
import life


def judge(plan, act, lived):
    """What is wrong after the life `lived`, which rests; empty when all of `act` holds."""
    allowed = [tuple(pair) for pair in act["may_start"]]
    names = [_named(plan, start) for start in lived.starts]
    if allowed and not all(name in allowed for name in names):
        return "started " + repr(names)
    if not names or names[-1] != tuple(act["ends"]):
        return "ended with " + repr(names[-1:])
    wrong = sane(plan, lived) or risen(lived.floors + [life.floors()])
    return wrong or _kept(plan, act) or _agent(plan, act, lived)


def asked(act, world):
    """What is wrong with what the board asked of the server, in a life without a cut."""
    lines = "\n".join(world.asked)
    missing = [text for text in act["asks"] if text not in lines]
    more = [text for text in act["asks_not"] if text in lines]
    return "asked %s: not %s, but %s" % (world.asked, missing, more) if missing or more else ""


def sane(plan, lived):
    """What must hold in every life: only whole releases start, and none below the floor."""
    for start in lived.starts:
        name, _ = _named(plan, start)
        if name == "broken":
            return "started something broken"
        if plan["counters"][name] < start[3][0][1]:
            return "downgraded to %s, floors %s" % (name, start[3])
    return ""


def risen(floors):
    """What is wrong with `floors`, which follow each other: they never fall."""
    for before, after in zip(floors, floors[1:]):
        if any(new < old for old, new in zip(before, after)):
            return "floors fell: " + repr(floors)
    return ""


def _named(plan, start):
    return plan["trees"].get(start[0], "broken"), start[1].get("MARK", "")


def _kept(plan, act):
    # What the flash remembers of the end.
    state, floor = life.read_json("/kiln/state.json"), life.read_json("/kiln/floor.json")
    if state is None or floor is None:
        return "no state or no floor"
    release = act["ends"][0]
    counter = plan["counters"][release]
    good = (
        ("trial", state["trial"] is None),
        ("outbox", state["outbox"] is None or act["seq"] is None),
        ("release", state[state["active"]]["release"] == plan["digests"][release]),
        ("counter", state["counter"] == counter == floor["counter"]),
        ("seq", act["seq"] in (None, state["seq"])),
        ("trust.json", life.file_digest("/kiln/trust.json") in act["trust"]),
    )
    wrong = [name for name, holds in good if not holds]
    return "at rest %s: %s, %s" % (wrong, state, floor) if wrong else ""


def _agent(plan, act, lived):
    name = plan["agents"].get(life.tree_digest(lived.starts[-1][2]), "broken")
    return "" if name == act["agent"] else "agent is " + name
