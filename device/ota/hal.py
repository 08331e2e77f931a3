# The hardware's rim: time, chance, restart, network. Nothing above this file imports machine.
import time

from micropython import const

# A host (the unix port) has no machine.reset: the process ends with this code and whoever started
# it starts it again.
RESET_EXIT = const(3)


LOG_SIZE = const(640)  # bytes kept of the last lines of this start, in RAM; read by logbook.py

ring = bytearray(LOG_SIZE)
written = 0  # bytes since the start


def log(*words):
    """Print a line and keep it."""
    global written
    print("[ota]", *words)
    for byte in (" ".join(str(word) for word in words) + "\n").encode():
        ring[written % LOG_SIZE] = byte
        written += 1


def reset():
    """Restart the board; does not return."""
    try:
        from machine import reset as restart
    except ImportError:
        raise SystemExit(RESET_EXIT) from None
    restart()


def ticks_ms():
    """Milliseconds of a clock that only runs forward; compare with ticks_diff."""
    if hasattr(time, "ticks_ms"):
        return time.ticks_ms()
    return int(time.monotonic() * 1000)


def ticks_diff(end, start):
    """Milliseconds from `start` to `end`."""
    if hasattr(time, "ticks_diff"):
        return time.ticks_diff(end, start)
    return end - start


def recent(start, limit_ms):
    """Whether the ticks `start` are less than `limit_ms` ago; None are not.

    Ticks wrap: what was more than six days ago looks as if it were still to come.
    """
    return start is not None and 0 <= ticks_diff(ticks_ms(), start) < limit_ms


def sleep_ms(ms):
    if hasattr(time, "sleep_ms"):
        time.sleep_ms(ms)
    else:
        time.sleep(ms / 1000)


def jitter(limit):
    """A number below `limit` (at most 65536), so that a fleet does not call in step."""
    import os

    two = os.urandom(2)
    return (two[0] << 8 | two[1]) * limit >> 16


def mpy():
    """sys.implementation._mpy: what `.mpy` files this interpreter loads; 0 for none."""
    import sys

    return getattr(sys.implementation, "_mpy", 0)


def partitions():
    """esp32.Partition, None on other chips."""
    try:
        from esp32 import Partition
    except ImportError:
        return None
    return Partition
