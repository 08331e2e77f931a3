# Judging a slot by what it holds: after the state was lost, or an application keeps crashing.
# Nothing counts but the signed statement kept beside a slot, digests, and the floors.
import binascii
import gc
import hashlib

from ota import app, hal, look, slots, state
from ota.reason import RefusedError

_LOST = "the state was lost on trial"


def restore(agent):
    """Find the state anew in the slots; True when there was something to start.

    First the newest release that was confirmed, whose counter is the floor; then one above it, on
    trial, for perhaps it never was: the older of two, which was there when the newer one came;
    then one below it, which runs until there is something newer.
    """
    kept = agent.state
    for slot in ("a", "b"):
        kept[slot] = judge(agent, slot)
        hal.log("slot", slot, kept[slot]["version"] if kept[slot] else "holds nothing whole")
    lost = _recall(agent)
    chosen = max(("a", "b"), key=lambda slot: _rank(kept, slot))
    if kept[chosen] is None:
        return lost and agent.save()
    spare = state.other(chosen)
    # A record says that a release was confirmed.
    if kept[spare] is not None and kept[spare]["counter"] > kept["counter"]:
        kept[spare] = None
    kept["active"] = chosen
    config, before = _configurations(agent, lost)
    new = kept[chosen]["counter"] > kept["counter"]
    kept["config"] = config
    if new or config:
        back = spare if kept[spare] and new else "" if new else chosen
        kept["trial"] = {"back": back, "config": before, "boots": 0, "sleeps": 0}
    return agent.save()


def _recall(agent):
    # What the order says that was followed last. Whether the state was lost on its trial: then
    # that is over, and what ran before was confirmed.
    from ota import done, moves, wants

    kept = agent.state
    try:
        desired, day, lost = _last(agent, done)
        if desired is None or (
            desired["seq"] < kept["seq"] and wants.order(desired) != kept["wanted"]
        ):
            return False
        wants.want(kept, desired)
        if len(day) == 2:
            kept["day"] = max(kept["day"], day)
        for slot in ("a", "b"):
            record = kept[slot]
            if record and (record["release"] == desired["release"]) != lost:
                kept["counter"] = max(kept["counter"], record["counter"])
            elif lost:
                kept[slot] = None
        if lost:
            kept["failed"] = kept["seq"]
            kept["last"] = "no_confirm: " + _LOST
            moves.post(kept, state.ROLLED_BACK, "no_confirm", _LOST, desired["release"])
        return lost
    finally:
        app.forget("done", "wants", "moves", "notice", "field")


def _last(agent, done):
    # (the order, its day, whether it was on trial)
    from ota import notice

    for name in (done.TRIAL, done.DONE):
        raw, day = done.recall(agent.root, name)
        try:
            payload = app.signed(agent.root, "director", raw, notice.LIMIT)
            desired = notice.claims(payload)
        except (RefusedError, MemoryError):
            continue
        if desired["device"] == agent.device["id"]:
            return desired, day, name == done.TRIAL
    return None, [], False


def judge(agent, slot):
    """The record of the release that `slot` holds, whole and signed for this board, or None."""
    try:
        jws, stated = _believe(agent, slot)
        release = binascii.hexlify(hashlib.sha256(jws).digest()).decode()
        look.check(stated, agent.root, slot, _idle, release)
    except (RefusedError, OSError, ValueError, MemoryError):
        return None
    if not slots.startable(agent.root, slot):
        return None
    return {"release": release, "version": stated["version"], "counter": stated["counter"]}


def damaged(agent, slot):
    """Whether a file of the release in `slot` is not as it was signed; others do not matter."""
    try:
        _, stated = _believe(agent, slot)
    except (RefusedError, OSError, ValueError, MemoryError):
        return False  # nothing to judge by
    try:
        look.check(stated, agent.root, slot, _idle)
    except RefusedError as e:
        return e.detail != look.EXTRA
    except OSError:
        return True
    return False


def _believe(agent, slot):
    from ota import statement, trust

    try:
        with open(slots.statement_path(agent.root, slot), "rb") as f:
            jws = f.read(statement.LIMIT + 1)
        gc.collect()  # as in update.py: room for the signature's numbers
        stated = statement.parse(jws, trust.keys(agent.root, "release"))
    finally:
        app.forget("statement", "verify", "field", "trust")
    if stated["repo"] != agent.device["repo"] or stated["board"] != agent.device["board"]:
        raise RefusedError("wrong_board")
    return jws, stated


def _rank(kept, slot):
    record = kept[slot]
    if record is None:
        return (0,)
    counter, floor = record["counter"], kept["counter"]
    if counter > floor:
        return (2, -counter, False)
    return (3 if counter == floor else 1, counter, kept["wanted"][:64] == record["release"])


def _configurations(agent, lost):
    # The slot of the configuration to try, and of the one before it: the last order's, else the
    # newest; when that order is `lost`, not what it brought. "" is the one as enrolled.
    from ota import config

    kept = agent.state
    found = []
    for slot in ("a", "b"):
        held = config.held(agent.root, slot)
        if held:
            kept["configs"][slot] = held[0]
            wanted = not kept["wanted"] or held[0] == kept["wanted"][64:]
            if held[1] != kept["seq"] if lost else wanted:
                found.append((held[1], slot))
    app.forget("config")
    if not found:
        return "", ""
    slot = max(found)[1]
    return slot, state.other(slot) if kept["configs"][state.other(slot)] else ""


def _idle():
    pass
