# The pins. An LM35 gives 10 mV a degree; a hobby servo wants a pulse of 1 to 2 ms, 50 times a
# second. boards/unix/ has a stand-in.
from machine import ADC, PWM, Pin

_CLOSED_NS = 1000000
_OPEN_NS = 2000000
_TURN_MS = 800


def thermometer(pin):
    """A function that reads degrees Celsius."""
    adc = ADC(Pin(pin))
    if hasattr(adc, "atten"):
        adc.atten(ADC.ATTN_11DB)  # an ESP32 measures up to 1 V else
    return lambda: adc.read_u16() * 330 // 65535


class Window:
    """A servo that opens a window."""

    def __init__(self, pin):
        self._servo = PWM(Pin(pin), freq=50)

    def move(self, opened, sleep_ms):
        """Turn the servo and wait with `sleep_ms` until it is there."""
        self._servo.duty_ns(_OPEN_NS if opened else _CLOSED_NS)
        sleep_ms(_TURN_MS)
