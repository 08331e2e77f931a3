# Orders and reports by HTTP, while the broker is away. Imported for that, and forgotten.
from micropython import const

from ota import app, hal, poll
from ota.reason import RefusedError

_SPREAD_MS = const(60000)  # a fleet that lost its broker does not ask in step


def tell(agent, wait=True):
    """Errand: hear what is ordered, then say everything there is to say, last a greeting.

    Raises RefusedError.
    """
    begun = hal.ticks_ms()
    # The proof of a new way to the service is no matter of the whole fleet.
    wait = wait and not agent.moved
    wait_ms = hal.jitter(min(int(agent.device["poll_s"] * 125), _SPREAD_MS)) if wait else 0
    try:
        while agent.age(begun) < wait_ms:
            yield
        yield from _hear(agent)
        while True:
            found = agent.voice.following(agent, agent.moved)
            if not found:
                return
            yield from poll.report(agent.device, agent.voice.compose(agent, found[1]))
            if agent.voice.heard(agent, found[0], False):
                agent.save()
    finally:
        app.forget("elsewhere", "poll", "http", "net")


def ask(agent):
    """Errand: hear what is ordered, and nothing else."""
    try:
        yield from _hear(agent)
    finally:
        app.forget("elsewhere", "poll", "http", "net")


def _hear(agent):
    try:
        raw = yield from poll.desired(agent.device)
    except RefusedError as e:
        hal.log("no order by HTTP:", e.detail)
        return
    if raw is not None:
        agent.hear(raw)
