# How a trial ends, and what follows a crash. `agent` is ota.agent.Agent. Imported when needed.
from micropython import const

from ota import app, hal, moves, slots, state

_PAUSE_LIMIT_S = const(300)
_TELL_MS = const(2000)  # longest wait for the acknowledgement of what happened
_SUSPECT = const(3)  # crashes in a row after which the slot itself is looked at


def arm(agent):
    """The watchdog for the application on trial, where there is one."""
    limit_s = agent.device["watchdog_s"]
    if limit_s:
        from ota import chip

        agent.dog = chip.watchdog(int(limit_s * 1000))
        app.forget("chip")


def calm(agent):
    """The watchdog of a trial that was won bites no more."""
    if agent.dog:
        from ota import chip

        if chip.calm(agent.dog):
            agent.dog = None
        app.forget("chip")


def count(agent):
    """Count a start on trial before the application runs; too many of them end the trial."""
    if not moves.count_boot(agent.state, agent.device["boots"]):
        roll_back(agent, "no_confirm", "%d starts" % agent.device["boots"])
    # A start that kills the board must have been counted.
    elif not agent.save() and agent.state["trial"]:
        roll_back(agent, "no_confirm", "the start could not be counted")


def won(agent):
    """The application works, and whoever had to know of it does."""
    from ota import done

    moves.confirm(agent.state)
    agent.save()
    done.settle(agent.root, agent.state)
    app.forget("done")
    calm(agent)
    hal.log("confirmed", agent.state[agent.state["active"]]["version"])
    agent.renew = agent.may_renew() or _may_reflash(agent)


def _may_reflash(agent):
    if not hal.partitions():
        return False
    due = app.firmware().due(agent) is not None
    app.forget("native")
    return due


def roll_back(agent, reason, detail):
    """End the trial without a restart: slot and configuration from before are in force again."""
    hal.log("roll back:", reason, detail)
    moves.roll_back(agent.state, reason, detail)
    agent.save()
    agent.keep_log()


def unhealthy(agent, why):
    """The application says that it does not work: a trial ends, and it is reported in any case."""
    if agent.state["trial"]:
        roll_back(agent, "unhealthy", why)
        agent.restart("unhealthy")
    agent.voice.say(state.IDLE, "unhealthy", why)


def crashed(agent, error):
    """The application raised `error`. Does not return."""
    from ota import logbook

    detail = logbook.explain(error, slots.path(agent.root, agent.state["active"]))
    if agent.state["trial"]:
        roll_back(agent, "crashed" if agent.ticked else "import_error", detail)
        agent.restart("rolled back")
    _pause(agent, detail)
    agent.restart("crash")


def bitten(agent):
    """The last start of a confirmed application was ended by the board's watchdog."""
    _pause(agent, "the watchdog restarted the board")


def _pause(agent, detail):
    # The agent alone for a while, longer for each crash in a row: it can be updated meanwhile.
    agent.state["crashes"] += 1
    agent.save()
    agent.keep_log()
    agent.voice.say(state.IDLE, "crashed", detail)
    if agent.state["crashes"] % _SUSPECT == 0:
        _suspect(agent)
    doubled = agent.device["crash_pause_s"] * 2 ** min(agent.state["crashes"] - 1, 6)
    pause = min(doubled, _PAUSE_LIMIT_S)
    hal.log("the application crashed, next start in", pause, "s")
    agent.until(lambda: agent.pending, pause * 1000)


def _suspect(agent):
    # Flash forgets, and applications write where they should not: a slot that is not what was
    # installed is left for the other one, or for the agent alone, which fetches the release anew.
    from ota import rebuild

    active = agent.state["active"]
    if rebuild.damaged(agent, active):
        hal.log("slot", active, "is damaged")
        moves.drop(agent.state, active)
        agent.state["crashes"] = 0
        agent.save()
        agent.until(agent.voice.silent, _TELL_MS)
        agent.restart("another slot")
    app.forget("rebuild", "look", "install", "bundle")
