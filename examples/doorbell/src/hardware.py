# The pins. boards/unix/ has a stand-in.
from machine import Pin


def button(pin):
    """A function that tells whether the button is down; it connects the pin to ground."""
    entry = Pin(pin, Pin.IN, Pin.PULL_UP)
    return lambda: not entry.value()


def bell(pin):
    """A function that switches the bell."""
    output = Pin(pin, Pin.OUT)
    return lambda on: output.value(1 if on else 0)
