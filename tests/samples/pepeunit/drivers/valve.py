# A valve behind a relay.
from machine import Pin


class Valve:
    def __init__(self, pin, is_inverted):
        self.is_inverted = is_inverted
        self.pin = Pin(pin, Pin.OUT)
        self.set(False)

    def set(self, is_open):
        self.pin.value(int(is_open != self.is_inverted))
