# Bringing a release as a pack: the file, what becomes of it, and when to do without. Nothing about
# a pack is a reason to refuse a release. Forgotten after.
import os

from ota import app, hal, update
from ota.reason import RefusedError


def by_pack(desired, agent, idle):
    """The slot record of what `desired` names, installed from a pack; None: take the bundle."""
    path = _tidy(agent, "pack.%s.%s" % (desired["release"][:16], update.running(agent)[:16]))
    while True:
        before = _size(path)
        try:
            _bring(desired, agent, path, idle)
            with open(path, "rb") as source:
                record = update.take_pack(source, desired, agent, idle)
            os.remove(path)
            return record
        except RefusedError as e:
            # The line broke in the middle: the rest comes the next time.
            if e.reason == "download_failed" and _size(path) > before:
                raise
            why = e.reason + " " + e.detail
        except (OSError, EOFError, ValueError, MemoryError) as e:
            why = repr(e)
        app.forget("pack", "patch", "install", "bundle", "head", "statement", "verify")
        app.forget("field", "trust")
        hal.log("no pack:", why)
        _remove(path)
        if not before:
            return None  # else what was there before may have been of another pack: once more


def _bring(desired, agent, path, idle):
    from ota import download

    where = "/ota/v1/releases/%s/pack?from=%s" % (desired["release"], update.running(agent))
    try:
        download.to_file(agent.device, where, desired["size"], path, idle)
    finally:
        app.forget("download", "http", "net")


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
