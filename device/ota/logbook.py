# Reading the last lines, and keeping them: they reach the flash, as /kiln/log, only together with
# a bad outcome, which writes there anyway. Saying what went wrong in an application, and where.
# Imported when needed, and forgotten.
import os
import sys

from micropython import const

from ota import hal

_LIMIT = const(1024)  # bytes of one answer


def tail(root=None):
    """The newest bytes as text, at most 1,024; before them what /kiln/log of `root` kept."""
    at = hal.written % hal.LOG_SIZE
    lines = bytes(hal.ring[:at])
    if hal.written > hal.LOG_SIZE:
        lines = bytes(hal.ring[at:]) + lines
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
        hal.log("log not kept:", repr(e))


def _kept(root):
    try:
        with open(root + "/kiln/log", "rb") as f:
            return f.read(_LIMIT)
    except OSError:
        return b""


def explain(error, folder):
    """`ValueError: why (file.py:12)`: the exception and where it was raised, in the slot."""
    text = _trace(error)
    print(text)
    lines = [line.strip() for line in text.strip().split("\n")]
    where = ""
    for line in lines:
        if line.startswith('File "') and '", line ' in line:
            name, rest = line[6:].split('", line ', 1)
            if name.startswith(folder + "/"):
                name = name[len(folder) + 1 :]
            where = " (%s:%s)" % (name, rest.split(",", 1)[0])
    return lines[-1][: 198 - len(where)] + where


def _trace(error):
    if hasattr(sys, "print_exception"):
        import io

        out = io.StringIO()
        sys.print_exception(error, out)
        return out.getvalue()
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
