# The desired state: which release this device shall run (docs/ota.md, "Desired state").
from micropython import const

from ota import field, wants
from ota.reason import RefusedError

LIMIT = const(1024)  # bytes of the JWS
_MAX_BUNDLE = const(0x3FFFFFFF)  # bytes; larger than any board's flash, still a small integer
_MAX_COUNTER = const(0x7FFFFFFF)
_MAX_TIME = const(0xFFFFFFFF)  # Unix seconds, the year 2106

IGNORE = "ignore"  # done already, or failed already
NOTE = "note"  # a newer order for the release that runs: only remember it
INSTALL = "install"


def parse(jws, keys):
    """The verified desired state in `jws` as a dict. Raises RefusedError."""
    from ota import verify

    return claims(verify.payload(jws, keys, LIMIT))


def claims(payload):
    """The same from the bytes of a payload that was verified."""
    desired = field.document(payload, "desired")
    field.text(desired, "device", 64)
    field.integer(desired, "seq", 1, 0x7FFFFFFFFFFFFFFF)
    field.hexadecimal(desired, "release")
    field.integer(desired, "size", 1, _MAX_BUNDLE)
    field.integer(desired, "counter", 1, _MAX_COUNTER)
    if "issued" in desired:
        field.integer(desired, "issued", 0, _MAX_TIME)
    field.integer(desired, "expires", 0, 0x7FFFFFFFFFFFFFFF)
    if "config" in desired:
        field.hexadecimal(desired, "config")
    return desired


def judge(desired, device_id, state, now):
    """What to do about `desired`: INSTALL, NOTE or IGNORE. Raises RefusedError.

    `state` is ota.state's dict, `now` Unix seconds, 0 where nothing is known of the time.
    """
    if desired["device"] != device_id:
        raise RefusedError("wrong_device", "for " + desired["device"])
    seq, order = desired["seq"], wants.order(desired)
    if seq < state["seq"] or (seq == state["seq"] and order != state["wanted"]):
        raise RefusedError("replayed", "seq %d, floor %d" % (seq, state["seq"]))
    if seq == state["seq"] and state["failed"] == seq:
        return IGNORE
    runs = order == wants.runs(state)
    if runs and seq == state["seq"]:
        return IGNORE
    # Without a clock there is still a time that it is not before.
    if max(now or 0, state["time"]) > desired["expires"]:
        raise RefusedError("expired", "since %d" % desired["expires"])
    if desired["counter"] < state["counter"]:
        raise RefusedError(
            "downgrade", "counter %d, floor %d" % (desired["counter"], state["counter"])
        )
    return NOTE if runs else INSTALL
