# One update: download, verify, install into the inactive slot, look at every byte once more.
# Imported only while it happens, before the application.
import gc
import os

from micropython import const

from ota import app, hal, slots, state
from ota.reason import RefusedError

_ENOSPC = const(28)


def fetch(desired, agent, idle):
    """Bring the release of `desired` into the inactive slot of `agent`; its slot record.

    A pack is taken where it can be, else the bundle. `idle` is called often. Raises RefusedError,
    with the inactive slot in any condition and everything else untouched.
    """
    from ota import download

    try:
        record = _by_pack(desired, agent, idle)
        if record is not None:
            return record
        path = "/ota/v1/releases/" + desired["release"] + "/bundle"
        source = download.Source(agent.device, path, desired["size"], idle)
        try:
            return take(source, desired, agent, idle)
        finally:
            source.close()
    except OSError as e:
        if e.args and e.args[0] == _ENOSPC:
            raise RefusedError("no_space", "flash is full") from None
        raise RefusedError("download_failed", "flash: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None


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

    jws = head.read_pack(source, _running(agent))
    stated = _believe(jws, desired, agent)
    from ota import pack

    supply = pack.Files(source, agent.root, agent.state["active"], idle)
    return _install(supply, jws, stated, desired, agent, idle)


def _by_pack(desired, agent, idle):
    # None where there is no pack, or none that is any good: nothing about a pack is a reason to
    # refuse a release.
    from ota import download

    path = _tidy(agent, "pack.%s.%s" % (desired["release"][:16], _running(agent)[:16]))
    where = "/ota/v1/releases/%s/pack?from=%s" % (desired["release"], _running(agent))
    while hal.inflater() is not None:
        before = _size(path)
        try:
            download.to_file(agent.device, where, desired["size"], path, idle)
            with open(path, "rb") as source:
                record = take_pack(source, desired, agent, idle)
            os.remove(path)
            return record
        except RefusedError as e:
            # The line broke in the middle: the rest comes the next time.
            if e.reason == "download_failed" and _size(path) > before:
                raise
            why = e.reason + " " + e.detail
        except (OSError, EOFError, ValueError, MemoryError) as e:
            why = repr(e)
        app.forget("pack", "patch", "install", "bundle", "statement", "verify", "field", "trust")
        hal.log("no pack:", why)
        _remove(path)
        if not before:
            break  # else what was there before may have been of another pack: once more
    return None


def _running(agent):
    record = agent.state[agent.state["active"]] if agent.state["active"] else None
    return record["release"] if record else "-"


def _tidy(agent, name):
    # The path of the pack, after every other pack is gone.
    folder = agent.root + "/kiln/"
    for other in os.listdir(folder[:-1]):
        if other[:5] == "pack." and other != name:
            _remove(folder + other)
    return folder + name


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _believe(jws, desired, agent):
    # In steps, each alone on the heap: 3,072 bits squared want 768 bytes in one piece.
    from ota import head, trust

    limit = head.LIMIT
    keys = trust.keys(agent.root, "release")
    app.forget("head", "trust")
    from ota import verify

    gc.collect()
    payload = verify.payload(jws, keys, limit)
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
