# Judging an order whose signature was checked: a message from the desired topic, or the answer to
# a question by HTTP. Imported when one comes, and forgotten. `agent` is ota.board.Board.
from ota import hal, slots, state
from ota.reason import UNKNOWN, RefusedError


def judge(agent, raw, payload, error, last=False):
    """Judge the desired state `payload` of the JWS `raw`, b"" for one too large.

    An install is then pending. `error` is why it was not believed, if it was not. Unless it is the
    `last` word, a newer root document is looked for before it is refused.
    """
    try:
        if error:
            raise error
        if not raw:
            raise RefusedError("too_large", "desired state")
        _judge(agent, raw, payload)
    except RefusedError as e:
        # A newer root document may name the key, or begin the counter again.
        mendable = e.detail == UNKNOWN or e.reason == "downgrade"
        if mendable and agent.facts[0] and not last:
            agent.unknown = raw
            return
        # Not kept in flash: whoever can reach the topic could wear it out.
        hal.log("desired state refused:", e.reason, e.detail)
        agent.voice.say(state.REFUSED, e.reason, e.detail)


def _judge(agent, raw, payload):
    from ota import notice, wants

    desired = notice.claims(payload)
    wants.learn(agent.state, desired.get("issued", 0))
    # The signed time, or a moment that has certainly passed; never the board's own clock.
    now = max(agent.clock.now() or 0, agent.state["time"])
    verdict = notice.judge(desired, agent.device["id"], agent.state, now)
    if verdict == notice.INSTALL and not slots.atomic(agent.root):
        raise RefusedError("bad_filesystem", "on FAT a power cut breaks the board; use littlefs")
    # Whoever has the director key could wear the flash out, were there no end to this.
    spent = wants.spent(agent.state, agent.device["installs_day"], raw)
    if verdict == notice.NOTE and spent:
        agent.voice.say(state.CONFIRMED, "", "", desired["release"])
    elif verdict == notice.NOTE:
        wants.note(agent.state, desired, raw)
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
