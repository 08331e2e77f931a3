# A virtual board has no button and no bell: somebody seems to come every second.

_EVERY = 20  # looks at the button


def button(pin):
    """A function that is true at every twentieth look."""
    looks = [0]

    def down():
        looks[0] += 1
        return looks[0] % _EVERY == 0

    return down


def bell(pin):
    """A function that switches nothing."""
    return lambda on: None
