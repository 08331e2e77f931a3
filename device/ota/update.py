# One update: download, verify, install into the inactive slot, look at every byte once more.
# Imported only while it happens, before the application.
from micropython import const

from ota import bundle, hal, slots, state
from ota.reason import DOWNLOAD_FAILED, MALFORMED, NO_SPACE, RefusedError

_ENOSPC = const(28)


def fetch(desired, agent, idle):
    """Bring the release of `desired` into the inactive slot of `agent`; its slot record.

    Raises RefusedError, with the inactive slot in any condition and everything else untouched.
    """
    from ota import download

    source = download.Bundle(agent.device, desired["release"], desired["size"], idle)
    try:
        return install(source, desired, agent, idle)
    except OSError as e:
        if e.args and e.args[0] == _ENOSPC:
            raise RefusedError(NO_SPACE, "flash is full") from None
        raise RefusedError(DOWNLOAD_FAILED, "flash: " + repr(e)) from None
    except MemoryError:
        raise RefusedError(DOWNLOAD_FAILED, "out of memory") from None
    finally:
        source.close()


def install(source, desired, agent, idle):
    """The same from any source."""
    slot = state.other(agent.state["active"])
    jws = bundle.read_statement(source, memoryview(bytearray(16)))
    statement = bundle.parse_statement(jws, agent.trust["release"])
    bundle.judge(jws, statement, desired, agent.device, agent.state["counter"], hal.mpy())
    slots.clear(agent.root, slot)
    slots.install(source, statement, agent.root, slot, idle)
    slots.check(statement, agent.root, slot, idle)
    if not slots.startable(agent.root, slot):
        raise RefusedError(MALFORMED, "no main.py and no main.mpy")
    return {
        "release": desired["release"],
        "version": statement["version"],
        "counter": statement["counter"],
    }
