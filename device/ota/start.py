# The first steps of a start, before the application. Imported for them, and forgotten. `agent` is
# ota.agent.Agent.
from micropython import const

from ota import app, hal, slots, state

_SCARCE = const(16384)  # bytes free: the state may not be written beside an order


def boot(agent):
    """Count a start on trial, see to it that there is a slot to start, and join the network."""
    agent.tried, agent.failures = _failed(agent)
    if agent.tried or (agent.tried == b"" and agent.state["tries"]):
        # Not counted yet where the order killed the board, or flash was full beside it.
        agent.postpone(0, agent.state["tries"] > 0 and slots.free(agent.root) > _SCARCE)
    if not agent.intact:
        _restore(agent)
    if hal.partitions():
        app.firmware().start(agent)
    config = agent.state["config"]
    if agent.state["trial"]:
        agent.trial().count(agent)
    _check_slot(agent)
    if agent.state["config"] != config:
        agent.restart("the configuration from before")
    cause = _cause()
    if cause == "deepsleep":
        from ota import nap

        agent.resting = nap.rests(agent)
        app.forget("nap", "chip")
    if agent.resting:
        return
    _join(agent)
    if agent.loaded and agent.loaded["outcome"]:
        agent.renewal().report(agent)
    app.forget("selfupdate", "newer", "native", "moves")
    if agent.state["trial"] is None:
        if cause == "wdt":
            agent.trial().bitten(agent)
        app.forget("trial")


def _cause():
    from ota import chip

    app.forget("chip")
    return chip.cause()


def _join(agent):
    from ota import wifi

    wifi.join(agent.settings, agent.state["trial"] is not None)
    app.forget("wifi")


def _failed(agent):
    from ota import leave

    found = leave.failed(agent.root)
    if agent.intact and agent.state["trial"] is None:
        from ota import done

        done.settle(agent.root, agent.state)  # cut off before, or after a deep sleep
        app.forget("done")
    app.forget("leave")
    return found


def _restore(agent):
    hal.log("no state, floors: counter", agent.state["counter"], "seq", agent.state["seq"])
    if not slots.stated(agent.root):
        return
    from ota import rebuild

    found = rebuild.restore(agent)
    app.forget("rebuild", "look", "install", "bundle")
    if found:
        agent.restart("the state was lost and found")


def _check_slot(agent):
    active = agent.state["active"]
    if not active or slots.startable(agent.root, active):
        return
    hal.log("slot", active, "cannot start")
    if agent.state["trial"]:
        agent.trial().roll_back(agent, "import_error", "no main in the slot")
    else:
        from ota import moves

        moves.drop(agent.state, active)
        agent.save()
    _check_slot(agent)


def without_agent(root=""):
    """Start the active slot without an agent: the device's identity cannot be read."""
    import ota
    from ota import config, wifi

    kept, _ = state.load(root + "/kiln")
    try:
        ota.settings.update(config.settings(root, kept))
    except ValueError as e:
        hal.log(*e.args)
    app.forget("config")
    wifi.join(ota.settings)
    if kept["active"] and slots.startable(root, kept["active"]):
        try:
            app.start(slots.path(root, kept["active"]))
        except ImportError as e:
            # As it is, it would say that a file of this agent is damaged.
            raise RuntimeError("the application: " + repr(e)) from None
