# When the window is open. Nothing here touches hardware, so it can be tried on any computer.

MARGIN_C = 2  # between opening and closing, or the servo would never rest


def plausible(celsius):
    """Whether a thermometer that works can say this."""
    return -30 < celsius < 70


def opened(celsius, target, before):
    """Whether the window shall be open, where it was `before`."""
    if celsius > target:
        return True
    if celsius < target - MARGIN_C:
        return False
    return before
