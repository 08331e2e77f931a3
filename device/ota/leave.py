# The order for which a board starts anew, kept in a file: /kiln/order.<starts left for it>, a line
# with the number of the attempt, then the signed order, nothing for another agent. With no start
# left it only says what failed just now. What becomes of it: ota/done.py. Imported to write and to
# read it, and forgotten.
import os

from micropython import const

from ota import hal
from ota.slots import STARTS, order_path, waits

_LIMIT = const(1100)  # bytes of the file


def order(root, raw, failures=0):
    """Keep the order `raw`; the next start follows it. False when flash is full."""
    return _write(root, STARTS, raw, failures)


def mark(root, raw, failures):
    """Keep that `raw` failed; the next start passes over it."""
    if not _write(root, 0, raw, failures):
        for left in range(
            1, STARTS + 1
        ):  # flash is full: then the order itself, with an older number
            if waits(root, left):
                os.rename(order_path(root, left), order_path(root, 0))


def take(root):
    """(raw, failures) of the order that waits, one start for it used up."""
    for left in range(1, STARTS + 1):
        if waits(root, left):
            os.rename(order_path(root, left), order_path(root, left - 1))
            return _read(order_path(root, left - 1))
    return b"", 0


def failed(root):
    """(raw, failures) of what failed just before this start, and forget it; (None, 0): nothing."""
    if not waits(root, 0):
        return None, 0
    try:
        return _read(order_path(root, 0))
    finally:
        os.remove(order_path(root, 0))


def clear(root):
    """No order waits any more."""
    for left in range(1, STARTS + 1):
        if waits(root, left):
            os.remove(order_path(root, left))


def _read(path):
    with open(path, "rb") as f:
        kept = f.read(_LIMIT)
    return kept[2:], min(max(kept[0] - 48, 0), 9)  # a digit, if nobody else wrote here


def _write(root, left, raw, failures):
    path = root + "/kiln/order"
    try:
        with open(path + ".new", "wb") as f:
            f.write(b"%d\n" % min(failures, 9) + raw)
        os.rename(path + ".new", order_path(root, left))
    except OSError as e:
        hal.log("order not kept:", repr(e))
        return False
    return True
