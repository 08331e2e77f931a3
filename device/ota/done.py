# The order that put another release on trial lies in /kiln/order.trial from then on, and once that
# is won in /kiln/order.done, should the state be lost (ota/rebuild.py). Imported then only.
import os

from micropython import const

from ota.slots import STARTS, order_path, waits

TRIAL = "/kiln/order.trial"
DONE = "/kiln/order.done"
_LIMIT = const(1100)  # bytes of the file


def followed(root, day):
    """The order that waits put another release on trial, on the `day` of the state."""
    for left in range(STARTS + 1):
        if waits(root, left):
            os.rename(order_path(root, left), root + TRIAL)
            with open(root + TRIAL, "ab") as f:
                f.write(b"\n%d %d" % tuple(day))


def settle(root, kept):
    """No trial of the state `kept` is open: the order of the last one is done, or it failed."""
    try:
        if kept["failed"] == kept["seq"]:
            os.remove(root + TRIAL)
        else:
            os.rename(root + TRIAL, root + DONE)
    except OSError:
        pass  # settled before


def recall(root, name):
    """(raw, day) of the order TRIAL or DONE; (b"", []) where there is none."""
    try:
        with open(root + name, "rb") as f:
            raw, _, day = f.read(_LIMIT)[2:].partition(b"\n")
        return raw, [int(number) for number in day.split()]
    except (OSError, ValueError):
        return b"", []
