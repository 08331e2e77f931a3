# Firmware of an ESP32, MicroPython itself: another image goes into the app partition that does not
# run, and is on trial until a report was acknowledged (docs/ota.md, "Native images"). The boot
# loader gives an unconfirmed image one start and then takes the one before. That one finds the
# trial here, in native.json, and lets it have another start, or gives up. Keys of the file:
#
#   counter, epoch   of the newest firmware that was confirmed, 0 for the board's first
#   trial    None, or {"release", "counter", "epoch", "to": label of its partition, "size",
#            "sha256", "starts": so far}
#   failed   digest of the last one that was left; outcome: why, until it is reported
import binascii
import gc
import hashlib
import json
import os

from micropython import const

from ota import app, hal, moves, slots, state
from ota.reason import RefusedError

_BLOCK = const(4096)
_STARTS = const(3)
_LIMIT = const(1024)  # bytes of the file
_NAME = "firmware.bin"  # the only file of such a release
_INDEX_LIMIT = const(128)  # bytes: one line of it
# As in selfupdate.py, and what the board itself has not: what else is wrong may be a lie of the
# server or of whoever stands between, and is tried again.
_LASTING = ("wrong_board", "wrong_repository", "downgrade", "no_space", "bad_filesystem")


def start(agent):
    """At each start, before all else: is this firmware on trial, or back from one?"""
    kept = _load(agent.root)
    trial = kept["trial"]
    if trial and _label(_running()) == trial["to"]:
        hal.log("firmware on trial, start", trial["starts"])
        agent.trying = agent.fresh = True
    elif trial and trial["starts"] < _STARTS:
        _choose(agent, kept)
    elif trial:
        _leave(agent, kept, "%d starts" % _STARTS)
    if kept["outcome"] and agent.state["outbox"] is None:
        moves.post(
            agent.state, state.ROLLED_BACK, "native_failed", kept["outcome"], kept["failed"]
        )
        if agent.save():
            kept["outcome"] = ""
            _save(agent.root, kept)


def confirm(agent):
    """A report under this firmware was acknowledged: it stays."""
    # First the boot loader. The other way round, a cut would confirm what does not start again.
    try:
        hal.partitions().mark_app_valid_cancel_rollback()
    except OSError as e:
        agent.restart("the boot loader keeps no firmware: " + repr(e))
    kept = _load(agent.root)
    for name in ("counter", "epoch"):
        kept[name] = kept["trial"][name]
    kept["trial"] = None
    if _save(agent.root, kept):
        agent.trying = agent.fresh = False
        hal.log("firmware confirmed, counter", kept["counter"])


def due(agent):
    """The firmware that the configuration asks for, {"release", "size", "counter"}, or None."""
    if agent.fresh or not agent.state["config"]:
        return None
    from ota import config

    wanted = config.wanted(agent.root, agent.state, "native")
    app.forget("config")
    kept = _load(agent.root)
    if wanted is None or wanted["release"] == kept["failed"]:
        return None
    place = (agent.state["epochs"][0], wanted["counter"])
    return wanted if place > (kept["epoch"], kept["counter"]) else None


def look(agent):
    """Take the firmware that is due, if any, and restart into it; returns only without success."""
    wanted = due(agent)
    if wanted is None:
        return
    hal.log("firmware update to", wanted["release"][:12], "counter", wanted["counter"])
    kept = _load(agent.root)
    try:
        kept["trial"] = _bring(agent, wanted)
        _choose(agent, kept)
    except RefusedError as e:
        hal.log("firmware refused:", e.reason, e.detail)
        if e.reason not in _LASTING:
            agent.postpone(agent.skip)
            agent.voice.say(state.REFUSED, e.reason, e.detail, wanted["release"])
            return
        moves.post(agent.state, state.REFUSED, e.reason, e.detail, wanted["release"])
        agent.save()
        kept["trial"], kept["failed"] = None, wanted["release"]
        _save(agent.root, kept)


def open_source(agent, wanted):
    """The bundle, from the service."""
    from ota import download

    path = "/ota/v1/releases/" + wanted["release"] + "/bundle"
    return download.Source(agent.device, path, wanted["size"], agent.turn)


def _bring(agent, wanted):
    if not slots.atomic(agent.root):
        raise RefusedError("bad_filesystem", "on FAT a power cut breaks the board; use littlefs")
    source = open_source(agent, wanted)
    try:
        return _take(agent, source, wanted)
    except OSError as e:
        raise RefusedError("download_failed", "flash: " + repr(e)) from None
    except MemoryError:
        raise RefusedError("download_failed", "out of memory") from None
    finally:
        source.close()
        app.forget("download", "http", "net", "listing")


def _take(agent, source, wanted):
    # The trial record of what is in the other partition now, every byte read back.
    target = _target()
    stated = _believe(agent, source, wanted)
    size, digest = _index(source, stated)
    if size > target.info()[3]:
        raise RefusedError("no_space", "firmware of %d bytes" % size)
    _write(source, target, size, digest, agent.turn)
    _expect(target, size, digest, agent.turn)
    trial = {"release": wanted["release"], "counter": wanted["counter"], "starts": 0}
    trial.update(epoch=agent.state["epochs"][0], to=_label(target), size=size, sha256=digest)
    return trial


def _believe(agent, source, wanted):
    from ota import head, statement, trust

    jws = head.read(source)
    gc.collect()  # as in update.py: room for the signature's numbers
    stated = statement.parse(jws, trust.keys(agent.root, "release"), "native")
    own = hal.mpy()
    statement.judge(jws, stated, wanted, agent.device, 0, own)
    app.forget("head", "statement", "verify", "field", "trust")
    # The agent and the application are bytecode of this version.
    if stated["mpy"] != own & 0xFF:
        raise RefusedError("wrong_board", "firmware for .mpy version %d" % stated["mpy"])
    return stated


def _index(source, stated):
    # (size, digest) of the image.
    from ota import listing
    from ota.bundle import read_exactly

    raw = bytearray(min(stated["index"]["size"], _INDEX_LIMIT))
    read_exactly(source, memoryview(raw))
    if _hex(hashlib.sha256(raw)) != stated["index"]["sha256"]:
        raise RefusedError("digest_mismatch", "index")
    if raw[-1:] != b"\n":
        raise RefusedError("malformed", "index ends without a line end")
    checked = listing.Index(stated)
    digest, size, path = checked.line(bytes(raw[:-1]))
    checked.end()
    if path != _NAME:
        raise RefusedError("malformed", path + " is no firmware")
    return size, digest


def _write(source, target, size, digest, idle):
    from ota.bundle import read_exactly

    block, seen = bytearray(_BLOCK), hashlib.sha256()
    for number in range(-(-size // _BLOCK)):
        part = memoryview(block)[: min(_BLOCK, size - number * _BLOCK)]
        if len(part) < _BLOCK:
            block[:] = b"\xff" * _BLOCK
        read_exactly(source, part)
        # ESP-IDF, "App Image Format": an application, not the whole flash with its boot loader.
        if number == 0 and (block[0] != 0xE9 or block[32:36] != b"\x32\x54\xcd\xab"):
            raise RefusedError("malformed", "no application image of ESP-IDF")
        seen.update(part)
        target.writeblocks(number, block)  # erases first
        idle()
    if _hex(seen) != digest:
        raise RefusedError("digest_mismatch", _NAME)


def _expect(target, size, digest, idle):
    # Read it back from flash.
    block, seen = bytearray(_BLOCK), hashlib.sha256()
    for number in range(-(-size // _BLOCK)):
        target.readblocks(number, block)
        seen.update(memoryview(block)[: min(_BLOCK, size - number * _BLOCK)])
        idle()
    if _hex(seen) != digest:
        raise RefusedError("digest_mismatch", _NAME + " on flash")


def _choose(agent, kept):
    # Give the firmware on trial one start. What is not counted could be endlessly many.
    trial = kept["trial"]
    trial["starts"] += 1
    if not _save(agent.root, kept):
        _leave(agent, kept, "the start could not be counted")
        return
    partitions = hal.partitions()
    try:
        target = partitions.find(label=trial["to"])[0]
        _expect(target, trial["size"], trial["sha256"], agent.turn)
        target.set_boot()  # older MicroPythons say nothing when it is refused
        if _label(partitions(partitions.BOOT)) == trial["to"]:
            agent.restart("trial of firmware %d" % trial["counter"])
        why = "the boot loader refused it"
    except RefusedError as e:
        why = e.detail
    except (OSError, IndexError) as e:
        why = "the boot loader refused it: " + repr(e)
    _leave(agent, kept, why)


def _leave(agent, kept, why):
    hal.log("firmware left:", why)
    kept["failed"], kept["outcome"] = kept["trial"]["release"], why
    kept["trial"] = None
    _save(agent.root, kept)


def _target():
    # The partition to write, which is not the one that runs.
    try:
        # Also says whether this boot loader can roll back; what runs now is good.
        hal.partitions().mark_app_valid_cancel_rollback()
        target = _running().get_next_update()
    except OSError as e:
        raise RefusedError("wrong_board", "no second firmware: " + repr(e)) from None
    if _label(target) == _label(_running()):
        raise RefusedError("wrong_board", "one partition for firmware")
    return target


def _running():
    partitions = hal.partitions()
    return partitions(partitions.RUNNING)


def _label(partition):
    return partition.info()[4]


def _hex(seen):
    return binascii.hexlify(seen.digest()).decode()


def _load(root):
    kept = {"counter": 0, "epoch": 0, "trial": None, "failed": "", "outcome": ""}
    try:
        path = root + "/kiln/native.json"
        if os.stat(path)[6] <= _LIMIT:
            with open(path) as f:
                kept.update(json.load(f))
    except (OSError, ValueError):
        pass
    return kept


def _save(root, kept):
    path = root + "/kiln/native.json"
    try:
        with open(path + ".new", "w") as f:
            f.write(json.dumps(kept))
        os.rename(path + ".new", path)
    except OSError as e:
        hal.log("firmware: not saved:", repr(e))
        return False
    return True
