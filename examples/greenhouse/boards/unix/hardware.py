# A virtual board has no pins: the temperature goes up and down by itself.

_STEPS = (21, 23, 25, 26, 24, 22, 20)


def thermometer(pin):
    """A function that answers the next temperature of a day."""
    day = [0]

    def read():
        day[0] += 1
        return _STEPS[day[0] % len(_STEPS)]

    return read


class Window:
    """A window that is imagined."""

    def __init__(self, pin):
        pass

    def move(self, opened, sleep_ms):
        sleep_ms(20)
