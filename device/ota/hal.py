# The hardware's rim: time, chance, restart, network. Nothing above this file imports machine.
import time

from micropython import const

# A host (the unix port) has no machine.reset: the process ends with this code and whoever started
# it starts it again.
RESET_EXIT = const(3)


def log(*words):
    print("[ota]", *words)


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


def free_heap():
    """Free bytes of the heap, 0 where that is unknown."""
    import gc

    gc.collect()
    return gc.mem_free() if hasattr(gc, "mem_free") else 0


def mpy():
    """sys.implementation._mpy: what `.mpy` files this interpreter loads; 0 for none."""
    import sys

    return getattr(sys.implementation, "_mpy", 0)


def cause():
    """Why the board started last, one word; "" where it does not know."""
    try:
        import sys

        import machine

        found = machine.reset_cause()
    except (ImportError, AttributeError):
        return ""
    if sys.platform == "rp2" and found == machine.WDT_RESET:
        return ""  # machine.reset() looks the same there
    for name in ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"):
        if found == getattr(machine, name + "_RESET", None):
            return name.lower()
    return "%d" % found


def partitions():
    """esp32.Partition, None on other chips."""
    try:
        from esp32 import Partition
    except ImportError:
        return None
    return Partition


def inflater():
    """What makes a stream of what is deflated in a file (raw, window 2^10: 4 KB of heap), or None.

    `deflate` is there since MicroPython 1.21; before, `zlib` under two names.
    """
    try:
        from deflate import RAW, DeflateIO

        return lambda source: DeflateIO(source, RAW, 10)
    except ImportError:
        pass
    for name in ("zlib", "uzlib"):
        try:
            make = __import__(name).DecompIO
            return lambda source: make(source, -10)
        except (ImportError, AttributeError):
            pass
    return None
