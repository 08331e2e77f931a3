# The files under /kiln that describe this device: written at enrolment (device.json,
# settings.json), or taken over the air as a configuration (config.a, config.b; docs/ota.md).
# Which configuration is in force stands in the state, so that one rename switches it together
# with the release. Imported at a start, forgotten after.
import binascii
import hashlib
import json
import os

from micropython import const

from ota import state as states

LIMIT = const(4096)  # bytes of a configuration, and of each file that describes the device
_HEAD = const(160)  # bytes of the first line of config.a and config.b, at most
_PIECE = const(256)  # bytes read at a time
_TEXT = const(256)  # characters of a token, an address or a path

# What the configuration in force replaces of device.json.
_LINE = ("token", "base", "recovery", "mqtt", "redirects", "tls")

# Defaults of device.json, in seconds except where said.
_DEFAULTS = (
    ("boots", 3),  # starts that a trial may take
    ("trial_s", 600),  # longest start of a trial without a confirmation
    ("watchdog_s", 60),  # a trial may be silent this long (rp2: 8.3 s at most); 0: no watchdog
    ("confirm_after_s", 30),  # running this long is healthy, where the application says nothing
    ("connect_s", 15),  # longest wait for the broker before the application starts
    ("desired_s", 2),  # longest wait for a retained desired state after that
    ("poll_s", 900),  # the broker was away this long: HTTP instead
    ("stale_s", 691200),  # so long without a signed time is reported
    ("installs_day", 24),  # installs a day, for the life of the flash
    ("wakes", 1),  # look for orders at one wake from deep sleep in so many
    ("again_s", 300),  # before what failed for the time being is tried again, doubled each time
    ("crash_pause_s", 5),  # before a crashed application starts again, doubled each time
)


def device(root, state):
    """device.json as the configuration in force has it, a complete dict.

    A configuration that cannot be read any more gives way to the one before, then to what was
    enrolled; `state` (ota.state's dict) is changed then. Raises ValueError with a sentence.
    """
    value = _read(root + "/kiln/device.json")
    for name, limit in (("id", 64), ("board", 64), ("repo", 200)):
        if type(value.get(name)) is not str or not 1 <= len(value[name]) <= limit:
            raise ValueError("device.json: %s is missing or too long" % name)
    for name, default in _DEFAULTS:
        if type(value.setdefault(name, default)) not in (int, float) or value[name] < 0:
            raise ValueError("device.json: %s is no number" % name)
    found = _in_force(root, state)
    lay_over(value, found.get("device", {}) if found else {})
    return value


def settings(root, state):
    """What the application gets: of the configuration in force, else settings.json, else {}."""
    found = _in_force(root, state)
    if found:
        return found["settings"]
    try:
        return _read(root + "/kiln/settings.json")
    except OSError:
        return {}


def wanted_agent(root, state):
    """As `wanted`, of the agent."""
    return wanted(root, state, "agent")


def wanted(root, state, what):
    """The release that the configuration in force names for "agent" or "native", or None.

    A dict with "release", "size" and "counter".
    """
    found = _in_force(root, state)
    return found.get(what) if found else None


def moved(root, state):
    """Whether the configuration on trial changes the way to the service, or who this device says
    that it is."""
    old = device(root, dict(state, config=state["trial"]["config"]))
    new = device(root, state)
    return any(old[name] != new[name] for name in ("token", "base", "recovery", "tls"))


def held(root, slot):
    """(digest, seq) of the configuration in `slot`, whole and checked; None if there is none."""
    return whole(place(root, slot))


def whole(path):
    """The same of the file `path`."""
    try:
        if os.stat(path)[6] > LIMIT + _HEAD:
            return None
        content = hashlib.sha256()
        buffer = bytearray(_PIECE)
        with open(path, "rb") as f:
            named, wanted, seq = f.readline().decode().split(" ")
            while True:
                n = f.readinto(buffer)
                if not n:
                    break
                content.update(memoryview(buffer)[:n])
        return (named, int(seq)) if hexadecimal(content) == wanted else None
    except (OSError, ValueError):
        return None


def _in_force(root, state):
    chosen = state["config"]
    if not chosen:
        return None
    for name in (chosen, states.other(chosen)):
        found = held(root, name) if state["configs"][name] else None
        if found and found[0] == state["configs"][name]:
            state["config"] = name
            return load(place(root, name))
    state["config"] = ""
    return None


def place(root, slot):
    """The file of a slot."""
    return root + "/kiln/config." + slot


def load(path):
    """The JSON of a configuration's file. Raises ValueError."""
    with open(path, "rb") as f:
        f.readline()
        return json.load(f)


def lay_over(device, changes):
    """Put the line of `changes` into `device`. Raises ValueError unless it is whole and sound."""
    for name in _LINE:
        if name in changes:
            device[name] = changes[name]
    mqtt = device.get("mqtt")
    key, tls = device.get("key"), device.setdefault("tls", {})
    redirects = device.setdefault("redirects", [])
    device.setdefault("recovery", "")
    for name, good in (
        ("token", _is_text(device.get("token"))),
        ("base", _is_address(device.get("base"))),
        ("recovery", device["recovery"] == "" or _is_address(device["recovery"])),
        ("mqtt.host", type(mqtt) is dict and _is_text(mqtt.get("host"))),
        ("redirects", type(redirects) is list and all(_is_text(place) for place in redirects)),
        ("tls", type(tls) is dict and ("ca" not in tls or _is_text(tls["ca"]))),
        ("key", key is None or is_digest(key)),
    ):
        if not good:
            raise ValueError("device: %s is missing or wrong" % name)
    port = mqtt.setdefault("port", 1883)
    if type(port) is not int or not 0 < port < 65536:
        raise ValueError("device: mqtt.port is no port")


def _is_text(value):
    # No control character: a token or an address stands in the header of a request.
    return type(value) is str and 0 < len(value) <= _TEXT and all(c >= 32 for c in value.encode())


def is_digest(value):
    """Whether `value` is a SHA-256 as hex digits."""
    if type(value) is not str or len(value) != 64:
        return False
    return all(48 <= c <= 57 or 97 <= c <= 102 for c in value.encode())


def _is_address(value):
    return _is_text(value) and (value[:7] == "http://" or value[:8] == "https://")


def hexadecimal(digest):
    """What a hash object came to, as hex digits."""
    return binascii.hexlify(digest.digest()).decode()


def _read(path):
    if os.stat(path)[6] > LIMIT:
        raise ValueError(path + ": larger than %d bytes" % LIMIT)
    with open(path) as f:
        try:
            value = json.loads(f.read())
        except ValueError:
            raise ValueError(path + ": not JSON") from None
    if type(value) is not dict:
        raise ValueError(path + ": not an object")
    return value
