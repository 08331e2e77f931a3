# What a device asks its service by itself, as errands: root documents that follow the one it has,
# the time, and with the time whether somebody holds an order back (docs/ota.md, "Root document",
# "Time"). Imported when due, and forgotten.
import gc

from micropython import const

from ota import app, hal, state
from ota.reason import RefusedError

_AGAIN_S = const(900)  # after an attempt that failed
_REMEMBER_S = const(3600)
_PAUSE_MS = const(60000)  # between two walks that a message asked for: anybody may send one


def begin(agent):
    """The errand that is due.

    The daily questions first: whoever sends one message after the other that nobody signed could
    keep a board from them for ever: from the time, newer keys, an order that is held back.
    """
    if agent.unknown and not agent.clock.due(agent.link.up()):
        raw, agent.unknown = agent.unknown, b""
        return _unknown(agent, raw)
    agent.clock.later(_AGAIN_S)
    return _daily(agent)


def walk(agent):
    """Errand: take every root document that follows, one by one. Whether there was one.

    Raises RefusedError.
    """
    taken = False
    while agent.facts[0]:
        raw = yield from _ask(agent, "root", agent.facts[0] + 1)
        if raw is None:
            break
        _take(agent, raw)
        taken = True
        hal.log("root document", agent.facts[0])
        agent.save()
    return taken


def time(agent):
    """Errand: learn the time, and fetch the order that the broker should have brought by now."""
    nonce = _nonce()
    jws = yield from _ask(agent, "time", nonce)
    said, seq = _accept(agent, jws, nonce)
    agent.clock.set(said)
    from ota import wants

    wants.learn(agent.state, said)
    if agent.word is not None:  # it came meanwhile, and may be the very order
        word, agent.word = agent.word, None
        agent.hear(word)
    # One that was accepted, and lost by a power cut before it was done, may be held back as well.
    known = agent.state["seq"] - wants.unfinished(agent.state)
    if seq > known and not (agent.pending and seq <= agent.pending["seq"]):
        hal.log("an order is held back: seq", seq)
        raw = yield from _ask(agent, "desired")
        if raw is not None:
            agent.hear(raw)


def _daily(agent):
    try:
        yield from walk(agent)
    except RefusedError as e:
        _tell(agent, e)
    try:
        yield from time(agent)
    except RefusedError:
        # A board that only runs says nothing by itself, and somebody should hear of this.
        if agent.clock.stale(agent.device["stale_s"]):
            agent.voice.say(state.IDLE, "", "no signed time")
        _remember(agent)
        raise
    _remember(agent)


def _remember(agent):
    # For the next start, each hour at most: flash wears.
    if abs(agent.clock.age() - agent.state["unheard"]) >= _REMEMBER_S:
        agent.save()


def _unknown(agent, raw):
    # `raw` is signed by a key that this device does not know yet, or by nobody's; or its counter
    # is below a floor that a newer document may free.
    while hal.recent(agent.walked, _PAUSE_MS):
        yield
    agent.walked = hal.ticks_ms()
    failed = None
    try:
        yield from walk(agent)
    except RefusedError as e:
        failed = e
        _tell(agent, e)
    agent.heard = b""
    agent.hear(raw, True)
    if failed:
        agent.heard = b""  # no newer keys could be had: it is judged again when it comes again


def _tell(agent, error):
    hal.log("no newer keys:", error.reason, error.detail)
    if error.reason != "download_failed":
        agent.voice.say(state.REFUSED, error.reason, error.detail)


# What each step needs is imported for it alone: all of it at once would fill half of a small heap.


def _ask(agent, what, *words):
    gc.collect()
    from ota import poll

    try:
        return (yield from getattr(poll, what)(agent.device, *words))
    finally:
        app.forget("poll", "http", "net")


def _take(agent, raw):
    from ota import root, trust

    try:
        root.take(agent.root, raw)
        before = agent.facts[2][1]
        trust.adopt(agent)
        if agent.facts[2][1] > before:
            agent.clock.doubt()
        agent.heard = b""  # an order that was refused for its key may be right now
    except (OSError, MemoryError) as e:
        raise RefusedError("no_space", "root document: " + repr(e)) from None
    finally:
        app.forget("root", "trust", "verify", "field")


def _nonce():
    from ota import clock

    return clock.nonce()


def _accept(agent, jws, nonce):
    from ota import clock

    try:
        keys = app.keys(agent.root, "director")
        gc.collect()  # room for the signature's numbers
        return clock.accept(jws, keys, agent.device["id"], nonce)
    finally:
        app.forget("trust", "verify", "field")
