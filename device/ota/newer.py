# Whether another agent is wanted. Asked at each start, so apart from how it comes (selfupdate.py).
# Imported for that, and forgotten.
from ota import app


def due(agent):
    """The agent that the configuration asks for, {"release", "size", "counter"}, or None."""
    kept = agent.loaded
    wanted = _named(agent)
    if wanted is None or wanted["release"] == kept["failed"]:
        return None
    wants = place(agent.state["epochs"][0], wanted["counter"])
    # The one of the floor itself may have been left, damaged, and be wanted again.
    above = wants > place(kept["epoch"], kept["counter"]) and wants >= agent.state["agent"]
    return wanted if above else None


def place(epoch, counter):
    """Epoch and counter of an agent as one number."""
    return epoch << 31 | counter


def _named(agent):
    from ota import config

    try:
        return config.wanted_agent(agent.root, agent.state)
    finally:
        app.forget("config")
