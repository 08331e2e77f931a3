# What inflates. Imported for that, and forgotten.


def inflater():
    """What makes a stream of what is deflated in a file (raw, window 2^10: 4 KB of heap), or None.

    `deflate` is there since MicroPython 1.21; before, `zlib` under two names.
    """
    try:
        from deflate import RAW, DeflateIO

        return lambda source: DeflateIO(source, RAW, 10)
    except ImportError:
        pass
    for name in ("zlib", "uzlib"):
        try:
            make = __import__(name).DecompIO
            return lambda source: make(source, -10)
        except (ImportError, AttributeError):
            pass
    return None
