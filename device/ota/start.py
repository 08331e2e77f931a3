# The first steps of a start, before the application. Imported for them, and forgotten. `agent` is
# ota.agent.Agent.
from ota import app, hal, slots, state


def load(board, root, loaded):
    """Read what /kiln below `root` holds. Raises OSError, ValueError without an identity."""
    board.root = root
    board.loaded = loaded
    board.state, board.intact = state.load(root + "/kiln")
    # One after another, each forgotten before the next: what lives now drives what stays apart.
    _read_config(board)
    app.forget("config")
    _read_trust(board)
    app.forget("trust", "moves")
    from ota import clock

    board.clock = clock.Clock(board.state["unheard"])


def _read_config(board):
    from ota import config

    board.device = config.device(board.root, board.state)
    board.settings = config.settings(board.root, board.state)
    # A new way to the service is yet to be proven.
    board.moved = state.reconfigured(board.state) and config.moved(board.root, board.state)


def _read_trust(board):
    from ota import trust

    trust.adopt(board)


def boot(agent):
    """Count a start on trial, see to it that there is a slot to start, and join the network."""
    agent.tried, agent.failures = _failed(agent.root)
    if agent.tried or (agent.tried == b"" and agent.state["tries"]):
        agent.postpone(0, True)
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
    app.forget("selfupdate", "native", "moves")
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


def _failed(root):
    from ota import leave

    found = leave.failed(root)
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
        app.start(slots.path(root, kept["active"]))
