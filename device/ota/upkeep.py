# What a device asks its service by itself, as errands: root documents that follow the one it has,
# the time, and with the time whether somebody holds an order back (docs/ota.md, "Root document",
# "Time"). Imported when due, and forgotten.
import gc

from micropython import const

from ota import app, hal, state
from ota.reason import RefusedError

_AGAIN_S = const(900)  # after an attempt that failed
_PAUSE_MS = const(60000)  # between two walks that a message asked for: anybody may send one
_READY_MS = const(60000)  # longest look for keys before an update


def begin(agent):
    """The errand that is due."""
    if agent.unknown:
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
            agent.asked = hal.ticks_ms()
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
    state.learn(agent.state, said)
    # One that was accepted, and lost by a power cut before it was done, may be held back as well.
    known = agent.state["seq"] - state.unfinished(agent.state)
    if seq > known and not (agent.pending and seq <= agent.pending["seq"]):
        hal.log("an order is held back: seq", seq)
        raw = yield from _ask(agent, "desired")
        if raw is not None:
            _hear(agent, raw)


def ready(agent, desired):
    """Before an update: is `desired` still right by the newest keys and the time? None if it is.

    Else what the caller answers: False for an attempt that failed, True where there is another
    verdict by now. Blocks.
    """
    agent.pending = desired  # so that nobody takes it for one that is held back
    _end_errand(agent)
    try:
        if not hal.recent(agent.asked, _PAUSE_MS):
            agent.finish(walk(agent), _READY_MS)
    except RefusedError as e:
        hal.log("no update without the newest keys:", e.reason, e.detail)
        agent.pending = _newer(agent, desired)
        agent.postpone(desired["seq"])
        agent.voice.say(state.REFUSED, e.reason, e.detail)
        return False
    if agent.clock.now() is None:
        try:
            agent.finish(time(agent), _READY_MS)
        except RefusedError as e:
            hal.log("no time:", e.reason, e.detail)
    agent.pending = _newer(agent, desired)
    if agent.pending:
        return True
    # The time may have come after the order was judged.
    now = max(agent.clock.now() or 0, agent.state["time"])
    if agent.facts[0] != desired["root"] or now > desired["expires"]:
        agent.heard = b""
        _hear(agent, desired["jws"])
        if agent.pending is None:
            return True
        agent.pending = None
    return None


def _newer(agent, desired):
    # What came meanwhile, None where `desired` is still the newest order.
    return None if agent.pending is desired else agent.pending


def _end_errand(agent):
    # What is under way is perhaps just what is wanted here, and twice at once would not fit.
    errand, agent.errand = agent.errand, None
    try:
        if errand is not None:
            agent.finish(errand, _READY_MS)
    except (RefusedError, OSError, ValueError, MemoryError) as e:
        hal.log("errand:", *e.args)


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
        raise


def _unknown(agent, raw):
    # `raw` is signed by a key that this device does not know yet, or by nobody's; or its counter
    # is below a floor that a newer document may free.
    while hal.recent(agent.walked, _PAUSE_MS):
        yield
    agent.walked = hal.ticks_ms()
    try:
        yield from walk(agent)
    except RefusedError as e:
        _tell(agent, e)
    agent.heard = b""
    _hear(agent, raw, True)


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
    from ota import clock, trust

    try:
        keys = trust.keys(agent.root, "director")
        gc.collect()  # room for the signature's numbers
        return clock.accept(jws, keys, agent.device["id"], nonce)
    finally:
        app.forget("clock", "trust", "verify", "field")


def _hear(agent, raw, last=False):
    from ota import orders

    orders.hear(agent, raw, last)
    app.forget("orders", "notice", "trust", "verify", "field")
