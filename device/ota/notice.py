# The desired state: which release this device shall run (docs/ota.md, "Desired state").
from micropython import const

from ota import field, verify
from ota.reason import RefusedError

LIMIT = const(1024)  # bytes of the JWS
_MAX_BUNDLE = const(0x3FFFFFFF)  # bytes; larger than any board's flash, still a small integer
_MAX_COUNTER = const(0x7FFFFFFF)

IGNORE = "ignore"  # done already, or failed already
NOTE = "note"  # a newer order for the release that runs: only remember it
INSTALL = "install"


def parse(jws, keys):
    """The verified desired state in `jws` as a dict. Raises RefusedError."""
    desired = field.document(verify.payload(jws, keys, LIMIT), "desired")
    field.text(desired, "device", 64)
    field.integer(desired, "seq", 1, 0x7FFFFFFFFFFFFFFF)
    field.hexadecimal(desired, "release")
    field.integer(desired, "size", 1, _MAX_BUNDLE)
    field.integer(desired, "counter", 1, _MAX_COUNTER)
    field.integer(desired, "expires", 0, 0x7FFFFFFFFFFFFFFF)
    return desired


def judge(desired, device_id, state, now):
    """What to do about `desired`: INSTALL, NOTE or IGNORE. Raises RefusedError.

    `state` is ota.state's dict, `now` Unix seconds or None where the clock was never set.
    """
    if desired["device"] != device_id:
        raise RefusedError("wrong_device", "for " + desired["device"])
    seq, release = desired["seq"], desired["release"]
    if seq < state["seq"] or (seq == state["seq"] and release != state["wanted"]):
        raise RefusedError("replayed", "seq %d, floor %d" % (seq, state["seq"]))
    running = state[state["active"]] if state["active"] else None
    if seq == state["seq"] and state["failed"] == seq:
        return IGNORE
    runs = bool(running) and running["release"] == release
    if runs and seq == state["seq"]:
        return IGNORE
    if now is not None and now > desired["expires"]:
        raise RefusedError("expired", "since %d" % desired["expires"])
    if desired["counter"] < state["counter"]:
        raise RefusedError(
            "downgrade", "counter %d, floor %d" % (desired["counter"], state["counter"])
        )
    return NOTE if runs else INSTALL
