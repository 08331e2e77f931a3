# The LED of whatever board this is.
import sys

from led import LIT

PINS = {"rp2": "LED", "pyboard": "LED_BLUE"}  # boards whose MicroPython has a name for it


def place():
    """The name of the port that runs this, for example esp32."""
    return sys.platform


def lamp(pin):
    """A function that switches the LED; where there is none, one that does nothing."""
    try:
        from machine import Pin
    except ImportError:
        return lambda lit: None
    output = Pin(PINS.get(sys.platform, pin), Pin.OUT)
    return lambda lit: output.value(LIT if lit else 1 - LIT)
