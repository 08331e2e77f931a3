# One update: download, verify, install into the inactive slot, look at every byte once more.
# Imported only while it happens, before the application.
import gc

from micropython import const

from ota import app, hal, slots, state
from ota.reason import RefusedError

_ENOSPC = const(28)


def fetch(desired, agent, idle):
    """Bring the release of `desired` into the inactive slot of `agent`; its slot record.

    `idle` is called often. Raises RefusedError, with the inactive slot in any condition and
    everything else untouched.
    """
    from ota import download

    path = "/ota/v1/releases/" + desired["release"] + "/bundle"
    source = download.Source(agent.device, path, desired["size"], idle)
    try:
        return take(source, desired, agent, idle)
    except OSError as e:
        if e.args and e.args[0] == _ENOSPC:
            raise RefusedError("no_space", "flash is full") from None
        raise RefusedError("download_failed", "flash: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None
    finally:
        source.close()


def take(source, desired, agent, idle):
    """The same from any source."""
    slot = state.other(agent.state["active"])
    stated = _believe(source, desired, agent)
    # What checked the signature is not needed any more, and what fills the slot is not yet there.
    app.forget("statement", "verify", "field", "trust")
    from ota import install

    install.clear(agent.root, slot)
    install.fill(source, stated, agent.root, slot, idle)
    install.check(stated, agent.root, slot, idle)
    if not slots.startable(agent.root, slot):
        raise RefusedError("malformed", "no main.py and no main.mpy")
    return {
        "release": desired["release"],
        "version": stated["version"],
        "counter": stated["counter"],
    }


def _believe(source, desired, agent):
    from ota import statement, trust

    jws = statement.read(source)
    gc.collect()  # 3,072 bits squared want 768 bytes in one piece, several times over
    stated = statement.parse(jws, trust.keys(agent.root, "release"))
    statement.judge(jws, stated, desired, agent.device, agent.state["counter"], hal.mpy())
    return stated
