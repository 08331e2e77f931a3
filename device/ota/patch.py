# What a patch makes of its base (docs/ota.md, "Pack"). Everything is read once and in order, but
# for the base, which lies on flash.
from micropython import const

from ota.bundle import read_exactly
from ota.reason import RefusedError

_NUMBER_BITS = const(28)  # four bytes of seven


def apply(source, base, base_size, size, view, sink):
    """Pass the `size` bytes that the patch next in `source` makes of the file `base` to `sink`.

    `view` is a buffer; half of it is for the base. Raises RefusedError for what is no patch.
    """
    middle = len(view) // 2
    at = 0
    while size:
        step, diff, extra = _number(source, view), _number(source, view), _number(source, view)
        at += -(step + 1 >> 1) if step & 1 else step >> 1
        if not 1 <= diff + extra <= size or at < 0 or at + diff > base_size:
            raise RefusedError("malformed", "patch")
        size -= diff + extra
        base.seek(at)
        at += diff
        while diff:
            part = view[: min(diff, middle)]
            other = view[middle : middle + len(part)]
            read_exactly(source, part)
            read_exactly(base, other)
            for i in range(len(part)):
                part[i] = part[i] + other[i] & 0xFF
            sink.write(part)
            diff -= len(part)
        while extra:
            part = view[: min(extra, middle)]
            read_exactly(source, part)
            sink.write(part)
            extra -= len(part)


def _number(source, view):
    value = 0
    for shift in range(0, _NUMBER_BITS, 7):
        read_exactly(source, view[:1])
        value |= (view[0] & 0x7F) << shift
        if view[0] < 0x80:
            return value
    raise RefusedError("malformed", "number in a patch")
