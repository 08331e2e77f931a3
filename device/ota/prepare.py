# What comes before the release: the newest keys and the time, on which hangs what an order is
# worth, and the configuration. `board` is ota.alone.Alone. Imported for that, and forgotten.
import gc

from micropython import const

from ota import app, hal, state, upkeep
from ota.reason import RefusedError

_KEYS_MS = const(60000)  # longest look for keys
_CONFIG_MS = const(60000)  # longest exchange for a configuration, both bases


def judge(board, raw):
    """What the order `raw` asks for by the newest keys and the time, None if that is nothing.

    A newer order takes its place. Raises RefusedError without the newest keys.
    """
    board.hear(raw)
    desired, version = board.pending, board.facts[0]
    try:
        board.finish(upkeep.walk(board), _KEYS_MS)
    except RefusedError as e:
        hal.log("no update without the newest keys:", e.reason, e.detail)
        board.say(state.REFUSED, e.reason, e.detail)
        raise
    try:
        board.finish(upkeep.time(board), _KEYS_MS)
    except RefusedError as e:
        hal.log("no time:", e.reason, e.detail)
    if board.pending is not desired:
        return board.pending
    now = max(board.clock.now() or 0, board.state["time"])
    if desired is None or board.facts[0] != version or now > desired["expires"]:
        board.pending, board.heard = None, b""
        board.hear(raw, True)
    return board.pending


def want(board, desired):
    """`desired` is accepted from now on. Whether its release is the one that runs."""
    from ota import wants

    same = wants.runs(board.state).startswith(desired["release"])
    wants.want(board.state, desired)
    board.save()
    return same


def configure(board, desired):
    """Bring the configuration of `desired`: the slot to use from the switch on, "" for what was
    enrolled, None to change nothing. Raises RefusedError."""
    named = desired.get("config", "")
    if named == state.in_force(board.state):
        return None
    if not named:
        return ""
    slot = state.other(board.state["config"])
    try:
        raw = _ask(board, named)
        # What asked is gone before what checks is there: small heaps do not hold both.
        app.forget("poll", "http", "net")
        gc.collect()
        _take(board, raw, desired, slot)
    except OSError as e:
        raise RefusedError("no_space", "configuration: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None
    return slot


def _ask(board, named):
    from ota import poll

    return board.finish(poll.config(board.device, named), _CONFIG_MS)


def _take(board, raw, desired, slot):
    from ota import configuration

    device, seq = board.device, desired["seq"]
    configuration.take(raw, desired["config"], device, board.root, slot, seq)
