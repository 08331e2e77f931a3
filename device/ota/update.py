# One update: fetch, verify, install into the inactive slot, look at every byte once more. Imported
# only while it happens, before the application. Each step has modules of its own, gone before the
# next one: this one alone stays, so it is small.
import os

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
    # None: take the bundle. Nothing about a pack is a reason to refuse a release.
    if not _inflates():
        return None
    while True:
        path, begun = _pull(desired, agent, idle)
        if path is None:
            return None
        try:
            with open(path, "rb") as source:
                record = take_pack(source, desired, agent, idle)
            os.remove(path)
            return record
        except RefusedError as e:
            why = e.reason + " " + e.detail
        except (OSError, EOFError, ValueError, MemoryError) as e:
            why = repr(e)
        app.forget("packhead", "pack", "patch", "look", "install", "listing", "bundle")
        app.forget("statement", "verify", "field", "trust")
        hal.log("no pack:", why)
        os.remove(path)
        if not begun:
            return None  # else what was there before may have been of another pack: once more


def _inflates():
    from ota import inflate

    app.forget("inflate")
    return inflate.inflater() is not None


def _pull(desired, agent, idle):
    from ota import pull

    try:
        return pull.pack(desired, agent, running(agent), idle)
    finally:
        app.forget("pull", "download", "resume", "http", "net")


def _by_bundle(desired, agent, idle):
    from ota import pull

    # The head first, then the rest: while a signature is checked, there is no room for the modules
    # that download.
    jws, at = pull.head(desired, agent, idle)
    stated = _believe(jws, desired, agent)
    source = pull.source(desired, agent, idle, at)
    del pull
    app.forget("pull")
    from ota import bundle

    try:
        _fill(bundle.Files(source), jws, stated, agent, idle)
    finally:
        source.close()
    source = None
    app.forget("download")
    return _look(stated, desired, agent, idle)


def take(source, desired, agent, idle):
    """The same from any source of a bundle."""
    from ota import head

    jws = head.read(source)
    stated = _believe(jws, desired, agent)
    from ota import bundle

    _fill(bundle.Files(source), jws, stated, agent, idle)
    return _look(stated, desired, agent, idle)


def take_pack(source, desired, agent, idle):
    """The same from the open file of a pack. Raises OSError, EOFError, ValueError, too."""
    jws, at, taken = _pack_head(source, agent)
    stated = _believe(jws, desired, agent)
    from ota import pack

    supply = pack.Files(source, at, taken, agent.root, agent.state["active"], idle)
    _fill(supply, jws, stated, agent, idle)
    pack = supply = None  # what holds them is gone before the look
    app.forget("pack", "patch")
    return _look(stated, desired, agent, idle)


def _pack_head(source, agent):
    from ota import packhead

    kept = slots.statement_path(agent.root, agent.state["active"])
    try:
        return packhead.read(source, running(agent), kept)
    finally:
        app.forget("packhead", "patch", "bundle")


def running(agent):
    """The digest of the release that runs, "-" for none."""
    record = agent.state[agent.state["active"]] if agent.state["active"] else None
    return record["release"] if record else "-"


def _believe(jws, desired, agent):
    app.forget("head", "bundle")
    payload = app.signed(agent.root, "release", jws, _LIMIT)
    from ota import statement

    stated = statement.claims(payload)
    statement.judge(jws, stated, desired, agent.device, agent.state["counter"], hal.mpy())
    # What fills the slot is not yet there.
    app.forget("statement", "head", "field")
    return stated


def _fill(supply, jws, stated, agent, idle):
    slot = state.other(agent.state["active"])

    def leave():
        # The state must not name a slot that is being emptied.
        if agent.state[slot] is not None:
            agent.state[slot] = None
            if not agent.save():
                raise RefusedError("no_space", "the state could not be written")

    from ota import install

    if agent.state[slot] is None:
        # What a cut or a failed trial left is in nobody's way, nor counted as room that is taken.
        install.clear(agent.root, slot)
    install.write(supply, stated, agent.root, slot, idle, jws, leave)


def _look(stated, desired, agent, idle):
    from ota import look

    slot = state.other(agent.state["active"])
    look.check(stated, agent.root, slot, idle, desired["release"])
    if not slots.startable(agent.root, slot):
        raise RefusedError("malformed", "no main.py and no main.mpy")
    return {
        "release": desired["release"],
        "version": stated["version"],
        "counter": stated["counter"],
    }
