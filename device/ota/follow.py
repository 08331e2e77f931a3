# Hearing what is ordered before the application, and leaving for it. Imported then, and forgotten.
# `agent` is ota.agent.Agent.
from micropython import const

from ota import app, hal, state
from ota.reason import RefusedError

_ANNOUNCE_MS = const(2000)  # longest wait for the acknowledgement of a passing state
_RETRY_S = const(5)  # an empty board's pause after a failed download, doubled each time
_PAUSE_LIMIT_S = const(300)


def look(agent):
    """Hear what is ordered, by HTTP where the broker is away, and leave for it.

    Returns when there is a release to start.
    """
    _listen(agent)
    if agent.tried != b"" and agent.may_renew():  # once a start
        agent.renew = True
        leave(agent)
    if hal.partitions():
        app.firmware().look(agent)
        app.forget("native", "moves")
    while agent.due() or not agent.state["active"]:
        if agent.due():
            leave(agent)
        elif agent.tried:
            # Nothing to start: the same order is tried again, later and later.
            pause = min(_RETRY_S << max(agent.failures - 1, 0), _PAUSE_LIMIT_S)
            if not agent.until(agent.due, (pause + hal.jitter(pause)) * 1000):
                _start_for(agent, agent.tried, agent.failures + 1)
        else:
            agent.until(agent.due, 1000)


def leave(agent):
    """Restart for another agent or the pending order; returns when that cannot be."""
    if agent.renew:
        agent.renew = False
        _start_for(agent, b"", 0)
        return
    desired, agent.pending = agent.pending, None
    hal.log(state.DOWNLOADING)
    agent.voice.say(state.DOWNLOADING, "", "", desired["release"])
    if agent.link.up():
        # No errands: what they fetch is fetched again.
        agent.until(agent.voice.silent, _ANNOUNCE_MS, False)
    _start_for(agent, desired["jws"], 1)


def _start_for(agent, raw, attempt):
    # Counted before it begins: one that kills the board marks nothing.
    from ota import leave as file

    if raw:
        _count(agent.state, raw)
    # The state, too: an application may have removed it, and then the slots alone say what runs.
    kept = agent.save() and file.order(agent.root, raw, attempt)
    app.forget("leave")
    if kept:
        agent.restart("update")
    agent.voice.say(state.REFUSED, "no_space", "the order could not be kept")


def _count(kept, raw):
    from ota import wants

    wants.count(kept, raw)
    app.forget("wants")


def _listen(agent):
    wait_ms = agent.device["connect_s"] * 1000
    # No errands yet: beside them an order would not fit into a small heap.
    if agent.until(agent.link.up, wait_ms, False):
        agent.until(lambda: agent.heard, agent.device["desired_s"] * 1000, False)
    else:
        from ota import elsewhere

        try:
            agent.finish(elsewhere.ask(agent), wait_ms)
        except RefusedError as e:
            hal.log("no order:", e.detail)
