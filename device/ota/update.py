# One update: download, verify, install into the inactive slot, look at every byte once more.
# Imported only while it happens, before the application.
import gc

from micropython import const

from ota import app, hal, slots, state
from ota.reason import RefusedError

_ENOSPC = const(28)
_LIMIT = const(1536)  # bytes of a statement


def fetch(desired, agent, idle):
    """Bring the release of `desired` into the inactive slot of `agent`; its slot record.

    A pack is taken where it can be, else the bundle. `idle` is called often. Raises RefusedError,
    with the inactive slot in any condition and everything else untouched.
    """
    try:
        return _by_pack(desired, agent, idle) or _by_bundle(desired, agent, idle)
    except OSError as e:
        if e.args and e.args[0] == _ENOSPC:
            raise RefusedError("no_space", "flash is full") from None
        raise RefusedError("download_failed", "flash: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None


def _by_pack(desired, agent, idle):
    if hal.inflater() is None:
        return None
    from ota import pull

    try:
        return pull.by_pack(desired, agent, idle)
    finally:
        app.forget("pull")


def _by_bundle(desired, agent, idle):
    # The head first, then the rest: while a signature is checked, there is no room for the modules
    # that download.
    jws, at = _head(desired, agent, idle)
    stated = _believe(jws, desired, agent)
    source = _source(desired, agent, idle)
    source.at = at
    _open(source)
    from ota import bundle

    try:
        return _install(bundle.Files(source), jws, stated, desired, agent, idle)
    finally:
        source.close()


def _head(desired, agent, idle):
    # The statement, and where in the bundle it ends.
    from ota import head

    source = _source(desired, agent, idle)
    try:
        return head.read(source), source.at
    finally:
        source.close()
        app.forget("download", "http", "net", "head")


def _source(desired, agent, idle):
    from ota import download

    path = "/ota/v1/releases/" + desired["release"] + "/bundle"
    return download.Source(agent.device, path, desired["size"], idle)


def take(source, desired, agent, idle):
    """The same from any source of a bundle."""
    from ota import head

    jws = head.read(source)
    stated = _believe(jws, desired, agent)
    from ota import bundle

    return _install(bundle.Files(source), jws, stated, desired, agent, idle)


def take_pack(source, desired, agent, idle):
    """The same from the open file of a pack. Raises OSError, EOFError, ValueError, too."""
    from ota import head

    jws = head.read_pack(source, running(agent))
    stated = _believe(jws, desired, agent)
    from ota import pack

    supply = pack.Files(source, agent.root, agent.state["active"], idle)
    return _install(supply, jws, stated, desired, agent, idle)


def running(agent):
    """The digest of the release that runs, "-" for none."""
    record = agent.state[agent.state["active"]] if agent.state["active"] else None
    return record["release"] if record else "-"


def _believe(jws, desired, agent):
    # In steps, each alone on the heap: 3,072 bits squared want 768 bytes in one piece.
    keys = app.keys(agent.root, "release")
    app.forget("head")
    from ota import verify

    gc.collect()
    payload = verify.payload(jws, keys, _LIMIT)
    keys = None
    app.forget("verify")
    from ota import statement

    stated = statement.claims(payload)
    statement.judge(jws, stated, desired, agent.device, agent.state["counter"], hal.mpy())
    # What fills the slot is not yet there.
    app.forget("statement", "head", "field")
    return stated


def _install(supply, jws, stated, desired, agent, idle):
    from ota import install

    slot = state.other(agent.state["active"])

    def leave():
        # The state must not name a slot that is being emptied.
        if agent.state[slot] is not None:
            agent.state[slot] = None
            if not agent.save():
                raise RefusedError("no_space", "the state could not be written")

    if agent.state[slot] is None:
        # What a cut or a failed trial left is in nobody's way, nor counted as room that is taken.
        install.clear(agent.root, slot)
    install.write(supply, stated, agent.root, slot, idle, jws, leave)
    install.check(stated, agent.root, slot, idle, desired["release"])
    if not slots.startable(agent.root, slot):
        raise RefusedError("malformed", "no main.py and no main.mpy")
    return {
        "release": desired["release"],
        "version": stated["version"],
        "counter": stated["counter"],
    }


def _open(source):
    # Before what fills the slot is there; a line that breaks is taken up again by the source.
    try:
        source.open()
    except OSError:
        pass
