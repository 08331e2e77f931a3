# Watchdog, deep sleep, the memory that outlives it, and other things that not every board has.
# With hal.py the only file that knows the hardware. Imported when one is used, and forgotten.
import sys

from micropython import const

_RP2_LIMIT_MS = const(8300)  # its watchdog counts no further
_CALM_MS = const(0x3FFFFFFF)  # twelve days
_FEED_MS = const(4000)
_MARK = b"\0KILN"  # before what is kept at the end of the memory that outlives deep sleep


def watchdog(ms):
    """An armed watchdog that restarts the board `ms` after its last feed(); None without one.

    Not on ESP8266: there it bites after 3 s and cannot be set, and a signature check takes longer.
    """
    if sys.platform == "esp8266":
        return None
    try:
        from machine import WDT
    except ImportError:
        return None
    return WDT(timeout=min(ms, _RP2_LIMIT_MS) if sys.platform == "rp2" else ms)


def calm(dog):
    """Let the watchdog bite no more; it cannot be stopped. False where it still has to be fed."""
    from machine import WDT

    try:
        WDT(timeout=_CALM_MS)
        return True
    except (ValueError, OSError):  # rp2
        pass
    try:
        from machine import Timer

        Timer(period=_FEED_MS, callback=lambda _: dog.feed())
        return True
    except (ImportError, TypeError, ValueError, OSError):
        return False


def deepsleep(ms, keep):
    """Sleep and start again after `ms`; does not return. The bytes `keep` are kept until then.

    A host sleeps and restarts instead.
    """
    try:
        from machine import deepsleep as sleep
    except ImportError:
        from ota import hal

        hal.sleep_ms(ms)
        hal.reset()
        return
    memory = _memory()
    if keep and memory is not None:
        try:
            memory(memory() + _MARK + keep)
        except ValueError:  # the application's own bytes leave no room
            pass
    sleep(ms)


def kept(size):
    """The `size` bytes that deepsleep() kept, or None; the application's are as it left them."""
    memory = _memory()
    found = memory() if memory else b""
    at = len(found) - size
    if at < len(_MARK) or found[at - len(_MARK) : at] != _MARK:
        return None
    memory(found[: at - len(_MARK)])
    return found[at:]


def _memory():
    # RTC().memory of ESP32 and ESP8266.
    try:
        from machine import RTC
    except ImportError:
        return None
    return getattr(RTC(), "memory", None)


def cause():
    """Why the board started last, one word; "" where it does not know."""
    try:
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
