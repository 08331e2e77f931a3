# Following an order, before the application and with the whole heap free: configuration, release,
# and the one rename that switches to both. `agent` is ota.agent.Agent. Forgotten after.
import gc

from micropython import const

from ota import app, hal, state
from ota.reason import RefusedError

_CONFIG_MS = const(60000)  # longest exchange for a configuration, both bases
_ANNOUNCE_MS = const(2000)  # longest wait for the acknowledgement of a passing state
_RETRY_S = const(5)  # an empty board's pause after a failed download, doubled each time
_PAUSE_LIMIT_S = const(300)
# What signed bytes say stays true. Whatever else is wrong may be a lie of the server, of whoever
# stands between, or of a moment, and must not keep the release away for good.
_LASTING = ("wrong_board", "wrong_repository", "downgrade", "bad_path", "bad_config")


def look(agent):
    """Hear what is ordered, by HTTP where the broker is away; update.

    Returns when there is a release to start.
    """
    wait_ms = agent.device["connect_s"] * 1000
    if agent.until(agent.link.up, wait_ms):
        agent.until(lambda: agent.heard, agent.device["desired_s"] * 1000)
    else:
        from ota import elsewhere

        try:
            agent.finish(elsewhere.ask(agent), wait_ms)
        except RefusedError as e:
            hal.log("no order:", e.detail)
    if agent.may_renew():
        agent.renewal().update(agent)
        app.forget("selfupdate")
    if hal.partitions():
        app.firmware().look(agent)
        app.forget("native")
    pause = _RETRY_S
    while agent.due() or not agent.state["active"]:
        if not agent.until(agent.due, 1000):
            continue
        desired = agent.pending
        if _update(agent, desired) or agent.state["active"]:
            continue
        # Nothing to start: the same order is tried again, later and later.
        agent.until(lambda: agent.pending, (pause + hal.jitter(pause)) * 1000)
        pause = min(pause * 2, _PAUSE_LIMIT_S)
        agent.pending = agent.pending or desired


def _update(agent, desired):
    # False: it failed for the time being and is tried again. True: refused. A success restarts.
    from ota import upkeep

    agent.pending = None
    verdict = upkeep.ready(agent, desired)
    app.forget("upkeep")
    if verdict is not None:
        return verdict
    state.want(agent.state, desired)
    agent.save()
    hal.log("update to", desired["release"][:12], "seq", desired["seq"])
    _announce(agent, state.DOWNLOADING, desired)
    try:
        config = _configure(agent, desired)
        same = state.runs(agent.state).startswith(desired["release"])
        record = None if same else _fetch(agent, desired)
        _announce(agent, state.STAGED, desired)
        _switch(agent, record, config, desired)
    except RefusedError as e:
        hal.log("refused:", e.reason, e.detail)
        if e.reason not in _LASTING:
            agent.postpone(desired["seq"])
            agent.voice.say(state.REFUSED, e.reason, e.detail, desired["release"])
            return False
        state.refuse(agent.state, desired, e.reason, e.detail)
        agent.save()
        agent.keep_log()
        return True
    agent.restart("trial of " + (record["version"] if record else "a configuration"))
    return True


def _configure(agent, desired):
    # The configuration slot to use from the switch on, "" for what was enrolled, None to change
    # nothing.
    named = desired.get("config", "")
    if named == state.in_force(agent.state):
        return None
    if not named:
        return ""
    slot = state.other(agent.state["config"])
    try:
        raw = _ask(agent, named)
        # What asked is gone before what checks is there: small heaps do not hold both.
        app.forget("poll", "http", "net")
        gc.collect()
        _take(agent, raw, desired, slot)
    except OSError as e:
        raise RefusedError("no_space", "configuration: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None
    finally:
        app.forget("configuration", "config", "poll", "http", "net")
    return slot


def _ask(agent, named):
    from ota import poll

    return agent.finish(poll.config(agent.device, named), _CONFIG_MS)


def _take(agent, raw, desired, slot):
    from ota import configuration

    device, seq = agent.device, desired["seq"]
    configuration.take(raw, desired["config"], device, agent.root, slot, seq)


def _fetch(agent, desired):
    from ota import update

    try:
        return update.fetch(desired, agent, lambda: agent.turn(False))
    finally:
        app.forget("update", "download", "http", "net", "install", "bundle", "pack", "patch")


def _switch(agent, record, config, desired):
    changed = dict(agent.state)
    if config:
        # Not before: what was never tried must not stand in for a configuration that is lost.
        changed["configs"] = dict(changed["configs"])
        changed["configs"][config] = desired["config"]
    state.begin_trial(changed, record, config)
    try:
        state.save(agent.root + "/kiln", changed)
    except OSError as e:
        raise RefusedError("no_space", "the switch could not be written: " + repr(e)) from None
    agent.state = changed


def _announce(agent, what, desired):
    hal.log(what)
    agent.voice.say(what, "", "", desired["release"])
    if agent.link.up():
        agent.until(agent.voice.silent, _ANNOUNCE_MS)
