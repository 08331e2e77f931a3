# Another agent, named by the configuration in force, goes into the agent slot that does not run;
# the loader starts it from there, on trial until a report of it was acknowledged.
import os

from micropython import const

from ota import app, hal, moves, newer, slots, state
from ota.reason import RefusedError

_SLOT = "kiln/agent/"
_OURS = {"repo": "kiln/agent", "board": "any"}
_ENOSPC = const(28)
_LIMIT = const(1536)  # bytes of a statement
# As in follow.py: what else is wrong may be a lie, and is tried again.
_LASTING = ("wrong_board", "wrong_repository", "downgrade", "bad_path")


def report(agent):
    """The loader left an agent: say so, once."""
    kept = agent.loaded
    if agent.state["outbox"] is not None:
        return  # an earlier outcome goes first; this one waits for the next start
    why = kept["outcome"]
    hal.log("an agent failed:", why)
    moves.post(agent.state, state.ROLLED_BACK, "agent_failed", why, kept["failed"])
    if agent.save():
        kept["outcome"] = ""
        if kept.pop("lonely", 0) and why.endswith(" starts"):
            # It ran, and perhaps there was nobody to reach: it is tried again, later and later.
            kept["failed"] = ""
            if agent.tried is None:
                agent.tried = b""
            agent.postpone(agent.skip)
        _save(agent, kept)


def lonely(agent):
    """This agent ran for its time without reaching anybody: it is not to blame for certain."""
    if agent.loaded and agent.loaded["trial"]:
        kept = dict(agent.loaded)
        kept["lonely"] = kept.get("lonely", 0) + 1
        _save(agent, kept)


def confirm(agent):
    """A report of this agent was acknowledged: it stays."""
    kept = dict(agent.loaded)
    kept["trial"] = None
    kept.pop("lonely", 0)
    place = newer.place(kept["epoch"], kept["counter"])
    if place > agent.state["agent"]:
        # The floor first: the loader begins again at 0 when it leaves a good agent.
        agent.state["agent"] = place
        agent.save()
    if _save(agent, kept):
        agent.fresh = False
        _clear_spare(agent)
        _calm(agent)
        hal.log("agent confirmed, counter", kept["counter"])


def slept(agent, limit):
    """An orderly sleep ends this start: it counts as none, `limit` times."""
    if not agent.loaded or not agent.loaded["trial"]:
        return  # firmware is what is on trial
    kept = dict(agent.loaded)
    trial = kept["trial"] = dict(kept["trial"])
    trial["sleeps"] = trial.get("sleeps", 0) + 1
    if trial["sleeps"] <= limit:
        trial["boots"] -= 1
        _save(agent, kept)
    else:
        lonely(agent)


def _clear_spare(agent):
    # An agent is a good part of a small flash. From a good one the way back leads to the board's.
    from ota import install

    install.clear(agent.root, _SLOT + state.other(agent.loaded["active"]))
    app.forget("install", "bundle")


def _calm(agent):
    from ota import trial

    trial.calm(agent)


def update(agent):
    """Bring the agent that is due into its slot and restart; returns only when that failed."""
    wanted, kept = newer.due(agent), agent.loaded
    if wanted is None:
        return
    hal.log("agent update to", wanted["release"][:12], "counter", wanted["counter"])
    slot = state.other(kept["active"])
    try:
        _fill(agent, wanted, _SLOT + slot)
        _switch(agent, wanted, kept, slot)
    except RefusedError as e:
        hal.log("agent refused:", e.reason, e.detail)
        if e.reason not in _LASTING:
            agent.postpone(agent.skip)
            agent.voice.say(state.REFUSED, e.reason, e.detail, wanted["release"])
            return
        moves.post(agent.state, state.REFUSED, e.reason, e.detail, wanted["release"])
        agent.save()
        kept["failed"] = wanted["release"]
        _save(agent, kept)
        return
    agent.restart("trial of agent %d" % wanted["counter"])


def _fill(agent, wanted, slot):
    from ota import download

    path = "/ota/v1/releases/" + wanted["release"] + "/bundle"
    source = download.Source(agent.device, path, wanted["size"], agent.turn)
    try:
        take(agent, source, wanted, slot)
    except OSError as e:
        if e.args and e.args[0] == _ENOSPC:
            raise RefusedError("no_space", "flash is full") from None
        raise RefusedError("download_failed", "flash: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None
    finally:
        source.close()
        app.forget("download", "http", "net", "look", "install", "bundle")


def take(agent, source, wanted, slot):
    """The same from any source, into the slot of this long name. Raises RefusedError, OSError."""
    from ota import head

    jws = head.read(source)
    del head
    stated = _believe(agent, jws, wanted)
    from ota import install

    install.clear(agent.root, slot)
    try:
        os.mkdir(agent.root + "/" + _SLOT[:-1])
    except OSError:
        pass  # there already
    install.fill(source, stated, agent.root, slot, agent.turn)
    from ota import look

    look.check(stated, agent.root, slot, agent.turn)
    try:
        os.stat(slots.path(agent.root, "") + slot + "/ota/__init__.mpy")
    except OSError:
        raise RefusedError("malformed", "no ota/__init__.mpy") from None


def _believe(agent, jws, wanted):
    payload = app.signed(agent.root, "release", jws, _LIMIT)
    from ota import statement

    stated = statement.claims(payload, "agent")
    statement.judge(jws, stated, wanted, _OURS, 0, hal.mpy())
    app.forget("head", "statement", "field")
    return stated


def _switch(agent, wanted, kept, slot):
    before = {name: kept[name] for name in ("counter", "epoch")}
    before.update(back=kept["active"], boots=0, release=wanted["release"])
    changed = dict(kept)
    changed.pop("lonely", 0)
    changed.update(
        active=slot, counter=wanted["counter"], epoch=agent.state["epochs"][0], trial=before
    )
    if not _save(agent, changed):
        raise RefusedError("no_space", "the switch could not be written")


def _save(agent, kept):
    import ota_loader  # it writes its file itself

    if not ota_loader.save(agent.root, kept):
        return False
    agent.loaded = kept
    return True
