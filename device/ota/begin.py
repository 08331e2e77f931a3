# The very first step of a start with an application: the identity, or what can be done without.
# Imported for that, and forgotten.
import ota
from ota import app, hal


def find(loaded):
    """The agent of this board. None where it has no identity: then all is done that can be."""
    from ota import agent

    try:
        return agent.Agent("", loaded)
    except (OSError, ValueError) as e:
        if loaded and loaded["trial"]:
            raise  # perhaps only this new agent cannot read it: back to the one before
        if loaded and loaded["active"]:
            from ota import failure

            failure.check(loaded)  # what cannot be read may be a file of the agent
            app.forget("failure", "look", "install", "bundle", "logbook")
        # No identity, no updates; but what is installed still runs.
        hal.log("no agent:", *e.args)
    from ota import claim, start

    found = claim.begin("")
    if found is None:
        hal.log("no updates without /kiln/device.json, which `kiln devices add` writes")
    from ota import nobody

    ota._agent = found or nobody.Nobody()
    start.without_agent()
    while found is not None:
        ota.tick()
        hal.sleep_ms(20)
    return None
