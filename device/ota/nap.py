# Deep sleep, ordered by the application. Imported then, and at a wake where not each one is for
# looking. `agent` is ota.agent.Agent.
from micropython import const

from ota import chip, hal, moves, state
from ota.reason import RefusedError

_SLEEPS = const(10)  # of a trial, without anybody having heard of it
_TELL_MS = const(2000)
_KEPT = const(10)  # bytes that outlive a sleep: _keep()
_MOST = const(0xFFFF)  # wakes


def sleep(agent, ms):
    """End this start in an orderly way, and start again after `ms`; does not return.

    On trial it is no failed start: it is won once broker or service know of it, and lost after too
    many sleeps in which they never did.
    """
    if agent.state["trial"]:
        _on_trial(agent)
    elif agent.fresh:
        _prove_agent(agent)
    elif not agent.resting:
        _catch_up(agent)
    hal.log("deep sleep,", ms, "ms")
    agent.restarting = True
    agent.link.close()
    # Should a new agent be left, the one before knows another form, and the memory is not ours.
    chip.deepsleep(ms, b"" if agent.fresh else _keep(agent, ms))


def _catch_up(agent):
    # Who goes to sleep has no loop in which what it asks by itself comes to an end: newer keys for
    # an order, the time, and with the time what somebody holds back.
    wait_ms = agent.device["connect_s"] * 1000
    agent.until(lambda: agent.due() or _asked(agent), wait_ms)
    if agent.due() and not agent.busy:
        agent.leave()
    elif agent.link.up():
        agent.until(lambda: agent.state["outbox"] is None and agent.voice.silent(), _TELL_MS)
    elif agent.state["outbox"] and agent.errand is None:
        _by_http(agent, wait_ms)


def _asked(agent):
    under_way = agent.errand is not None or agent.unknown
    return not under_way and not agent.clock.due(agent.link.up())


def rests(agent):
    """Whether this start, from deep sleep, is one that does not look for orders."""
    _take_up(agent, chip.kept(_KEPT) or b"")
    every = min(agent.device["wakes"], _MOST)
    if every <= 1 or agent.state["trial"] or agent.state["outbox"] or not agent.state["active"]:
        return False
    if agent.fresh:  # it is to reach somebody, or it is left
        return False
    if agent.wakes < every:
        return True
    agent.wakes = 0
    return False


def _keep(agent, ms):
    # Wakes since orders were looked for; seconds since the service said the time, as they will be
    # at the next start; and when it is to be asked again.
    ages = (agent.clock.age() + int(ms) // 1000, agent.clock.next)
    return agent.wakes.to_bytes(2, "big") + b"".join(n.to_bytes(4, "big") for n in ages)


def _take_up(agent, kept):
    agent.wakes = min(int.from_bytes(kept[:2], "big") + 1, _MOST)
    if kept:
        agent.clock.seconds = int.from_bytes(kept[2:6], "big")
        agent.clock.next = int.from_bytes(kept[6:], "big")


def _prove_agent(agent):
    # A new agent: time for its first report, and no failed start where nobody can be reached.
    wait_ms = agent.device["connect_s"] * 1000
    agent.until(lambda: not agent.fresh, wait_ms)
    if agent.fresh and agent.errand is None:
        agent.voice.hello = True
        _by_http(agent, wait_ms)
        agent.turn(False)
    if agent.fresh:
        agent.renewal().slept(agent, _SLEEPS)


def _known(agent):
    return agent.voice.told and not agent.moved


def _prove(agent, wait_ms):
    # The broker first; while it is away the service, unless the way to the broker is on trial too.
    # Another way to the service has to be proven by HTTP as well, at once: who goes to sleep has
    # no time to wait for that as one does who stays awake.
    voice = agent.voice
    agent.until(lambda: voice.told and not (agent.moved and agent.errand), wait_ms)
    by_http = agent.moved if voice.told else not state.reconfigured(agent.state)
    if by_http and agent.errand is None:
        voice.hello = True
        _by_http(agent, wait_ms)


def _by_http(agent, wait_ms):
    from ota import elsewhere

    try:
        agent.finish(elsewhere.tell(agent, False), wait_ms)
    except RefusedError as e:
        hal.log("no report by HTTP:", e.detail)


def _on_trial(agent):
    _prove(agent, agent.device["connect_s"] * 1000)
    trialed = agent.state["trial"]
    if _known(agent):
        moves.confirm(agent.state)
        hal.log("confirmed by an orderly sleep")
    elif trialed["sleeps"] >= _SLEEPS:
        from ota import trial

        trial.roll_back(agent, "no_confirm", "%d sleeps without being heard" % _SLEEPS)
        agent.restart("rolled back")
    else:
        trialed["sleeps"] += 1
        trialed["boots"] -= 1
    agent.save()
