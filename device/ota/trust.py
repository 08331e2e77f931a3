# The keys that this device believes, by role. Read when needed: two moduli are 2 KB of heap.
import json
import os

from micropython import const

from ota.reason import RefusedError

_LIMIT = const(8192)  # bytes of the file


def keys(root, role):
    """The keys of "release" or "director" in trust.json: [{"kid", "n" hex, "e"}].

    Raises RefusedError where there is none: without a key nothing is believed.
    """
    path = root + "/kiln/trust.json"
    try:
        if os.stat(path)[6] > _LIMIT:
            raise ValueError
        with open(path) as f:
            found = json.loads(f.read())[role]
    except (OSError, ValueError, KeyError, TypeError):
        raise RefusedError("bad_signature", "trust.json cannot be read") from None
    if type(found) is not list or not all(_sound(key) for key in found):
        raise RefusedError("bad_signature", "trust.json is malformed")
    return found


def _sound(key):
    return type(key) is dict and all(
        type(key.get(name)) is kind for name, kind in (("kid", str), ("n", str), ("e", int))
    )
