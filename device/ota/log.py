# The last lines of this start, in RAM. What reads them is in logbook.py.
from micropython import const

SIZE = const(640)  # bytes kept

ring = bytearray(SIZE)
written = 0  # bytes since the start


def say(*words):
    """Print a line and keep it."""
    global written
    print("[ota]", *words)
    for byte in (" ".join(str(word) for word in words) + "\n").encode():
        ring[written % SIZE] = byte
        written += 1
