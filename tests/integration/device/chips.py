"""A chip for virtual boards: MicroPython's `machine` with a watchdog that really kills, deep sleep and RTC memory."""

from pathlib import Path

from device.virtual import flash as flashing

DEEPSLEEP = 4  # as the chip notes it in /data/cause

# Why the board starts is known before: a start that nobody ends in an orderly way was ended by the
# watchdog, if that was armed. /data/wakes counts the sleeps.
MACHINE = """
import os, sys, time, _thread
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

def _note(cause):
    with open("/data/cause", "w") as f:
        f.write(str(cause))

def reset_cause():
    return _cause

def reset():
    try:
        _note(SOFT_RESET)
        sys.exit(3)
    except MemoryError:
        os.system("kill -9 $PPID")

def deepsleep(ms):
    print("[chip] deep sleep", ms)
    _note(DEEPSLEEP_RESET)
    sys.exit(3)

class RTC:
    def memory(self, value=None):
        if value is None:
            try:
                with open("/data/rtc", "rb") as f:
                    return f.read()
            except OSError:
                return b""
        with open("/data/rtc", "wb") as f:
            f.write(value)

class WDT:
    timeout = left = 0
    def __init__(self, id=0, timeout=5000):
        first = not WDT.timeout
        print("[chip] watchdog", timeout)
        WDT.timeout = timeout
        self.feed()
        _note(WDT_RESET if timeout < 1000000 else PWRON_RESET)
        if first:
            _thread.start_new_thread(_watch, ())
    def feed(self):
        WDT.left = WDT.timeout // 20

def _watch():
    # Counted in looks, not by the clock: a machine that stalls is no board that hangs.
    while WDT.left > 0:
        time.sleep_ms(20)
        WDT.left -= 1
    print("[chip] the watchdog bites")
    os.system("kill -9 $PPID")

try:
    with open("/data/cause") as f:
        _cause = int(f.read())
except OSError:
    _cause = PWRON_RESET
_note(PWRON_RESET)
"""


def fit(flash: Path, folder: Path, *, hurry: int = 1) -> None:
    """Give the board of this flash file the chip, whose watchdog may be in a hurry."""
    (folder / "chip/lib").mkdir(parents=True)
    machine = MACHINE.replace("WDT.timeout = timeout\n", f"WDT.timeout = timeout // {hurry}\n")
    (folder / "chip/lib/machine.py").write_text(machine)
    flashing.put(flash, folder / "chip")
