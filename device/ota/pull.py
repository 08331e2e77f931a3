# What an update downloads (docs/ota.md, "Fetch"): a pack into a file, or a bundle in two parts.
# Imported for that, and forgotten.
import os

from ota import app, hal
from ota.reason import RefusedError


def pack(desired, agent, starts_from, idle):
    """(path of the pack from that release, whether part of it was there before); a path of None:
    there is none, take the bundle. Raises RefusedError where the rest comes another time."""
    path = _tidy(agent, "pack.%s.%s" % (desired["release"][:16], starts_from[:16]))
    where = "/ota/v1/releases/%s/pack/2?from=%s" % (desired["release"], starts_from)
    while True:
        before = _size(path)
        try:
            from ota import download

            download.to_file(agent.device, where, desired["size"], path, idle)
            return path, before > 0
        except RefusedError as e:
            # The line broke in the middle: the rest comes the next time.
            if e.reason == "download_failed" and _size(path) > before:
                raise
            why = e.reason + " " + e.detail
        except (OSError, EOFError, ValueError, MemoryError) as e:
            why = repr(e)
        app.forget("download", "resume", "http", "net")
        hal.log("no pack:", why)
        _remove(path)
        if not before:
            return None, False  # else what was there before may have been of another pack


def head(desired, agent, idle):
    """The statement of the bundle, and where in the bundle it ends."""
    from ota import head

    line = _source(desired, agent, idle)
    try:
        return head.read(line), line.at
    finally:
        line.close()
        app.forget("download", "http", "net", "head", "bundle")


def source(desired, agent, idle, at):
    """What comes from byte `at` of the bundle on; a line that breaks is taken up again by it."""
    line = _source(desired, agent, idle)
    line.at = at
    try:
        line.open()  # before what fills the slot is there
    except OSError:
        pass
    return line


def _source(desired, agent, idle):
    from ota import download

    path = "/ota/v1/releases/" + desired["release"] + "/bundle"
    return download.Source(agent.device, path, desired["size"], idle)


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
