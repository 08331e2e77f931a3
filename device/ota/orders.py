# Hearing an order: a message from the desired topic, or the answer to a question by HTTP. Imported
# when one comes, and forgotten.
import gc
import hashlib

from micropython import const

from ota import app, hal, slots, state
from ota.reason import RefusedError

_LIMIT = const(1024)  # bytes of the JWS


def hear(agent, raw, last=False):
    """Judge the desired state in `raw`, b"" for one too large; an install is then pending.

    Unless it is the `last` word, a newer root document is looked for before it is refused.
    """
    mark = hashlib.sha256(raw).digest()
    if mark == agent.heard:
        return  # a repetition costs nothing
    agent.heard = mark
    if raw == agent.tried:
        return  # its download failed just before this start
    try:
        _judge(agent, raw)
    except RefusedError as e:
        from ota import verify

        # A newer root document may name the key, or begin the counter again.
        mendable = e.detail == verify.UNKNOWN or e.reason == "downgrade"
        if mendable and agent.facts[0] and not last:
            agent.unknown = raw
            return
        # Not kept in flash: whoever can reach the topic could wear it out.
        hal.log("desired state refused:", e.reason, e.detail)
        agent.voice.say(state.REFUSED, e.reason, e.detail)


def _judge(agent, raw):
    if not raw:
        raise RefusedError("too_large", "desired state")
    payload = _verified(agent, raw)
    from ota import moves, notice

    desired = notice.claims(payload)
    moves.learn(agent.state, desired.get("issued", 0))
    # The signed time, or a moment that has certainly passed; never the board's own clock.
    now = max(agent.clock.now() or 0, agent.state["time"])
    verdict = notice.judge(desired, agent.device["id"], agent.state, now)
    if verdict == notice.INSTALL and not slots.atomic(agent.root):
        raise RefusedError("bad_filesystem", "on FAT a power cut breaks the board; use littlefs")
    # Whoever has the director key could wear the flash out, were there no end to this.
    spent = desired["seq"] != agent.state["seq"] and moves.spent(
        agent.state, agent.device["installs_day"]
    )
    if verdict == notice.NOTE and spent:
        agent.voice.say(state.CONFIRMED, "", "", desired["release"])
    elif verdict == notice.NOTE:
        moves.note(agent.state, desired)
        agent.save()
    elif verdict == notice.INSTALL and spent:
        agent.heard = b""  # judged again when it comes again: perhaps the day is another
        if not agent.skip:
            agent.postpone(-1)  # no order is passed over for it: the time may be known soon
        raise RefusedError("too_often", "%d orders today" % agent.device["installs_day"])
    elif verdict == notice.INSTALL and desired["seq"] != agent.skip:
        waits = agent.pending
        if waits and waits["root"] == agent.facts[0] and waits["seq"] > desired["seq"]:
            raise RefusedError("replayed", "seq %d after %d" % (desired["seq"], waits["seq"]))
        # Should the keys change before it is done.
        desired["jws"], desired["root"] = raw, agent.facts[0]
        agent.pending = desired


def _verified(agent, raw):
    # As in update.py: step by step, so that there is room for the signature's numbers.
    # A name that holds a module would keep it.
    keys = app.keys(agent.root, "director")
    app.forget("notice", "moves", "field")
    from ota import verify

    gc.collect()
    payload = verify.payload(raw, keys, _LIMIT)
    app.forget("verify")
    return payload
