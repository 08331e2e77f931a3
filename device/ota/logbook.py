# Reading the last lines, and keeping them: they reach the flash, as /kiln/log, only together with
# a bad outcome, which writes there anyway. Imported when needed, and forgotten.
import os

from micropython import const

from ota import log

_LIMIT = const(1024)  # bytes of one answer


def tail(root=None):
    """The newest bytes as text, at most 1,024; before them what /kiln/log of `root` kept."""
    at = log.written % log.SIZE
    lines = bytes(log.ring[:at])
    if log.written > log.SIZE:
        lines = bytes(log.ring[at:]) + lines
    if root is not None:
        lines = (_kept(root) + b"-- start\n" + lines)[-_LIMIT:]
    # ASCII, so that bytes are characters and nothing is cut in its middle.
    return bytes(byte if 32 <= byte < 127 or byte == 10 else 63 for byte in lines).decode()


def keep(root):
    """Write the lines to /kiln/log of `root`. A full flash loses them: they are no state."""
    path = root + "/kiln/log"
    try:
        with open(path + ".new", "w") as f:
            f.write(tail())
        os.rename(path + ".new", path)
    except OSError as e:
        log.say("log not kept:", repr(e))


def _kept(root):
    try:
        with open(root + "/kiln/log", "rb") as f:
            return f.read(_LIMIT)
    except OSError:
        return b""
