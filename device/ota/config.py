# The files under /kiln that describe this device: written at enrolment (device.json,
# settings.json), or taken over the air as a configuration (config.a, config.b; docs/ota.md).
# Which configuration is in force stands in the state, so that one rename switches it together
# with the release. Imported at a start and for an update, forgotten after.
import binascii
import hashlib
import json
import os

from micropython import const

from ota.reason import RefusedError

LIMIT = const(4096)  # bytes of a configuration, and of each file that describes the device
_HEAD = const(160)  # bytes of the first line of config.a and config.b, at most
_CBC = const(2)  # of cryptolib: the mode
_BLOCK = const(16)  # bytes of a block of AES
_TEXT = const(256)  # characters of a token, an address or a path

# What the configuration in force replaces of device.json.
_LINE = ("token", "base", "recovery", "mqtt", "redirects", "tls")

# Defaults of device.json, in seconds except where said.
_DEFAULTS = (
    ("boots", 3),  # starts that a trial may take
    ("trial_s", 600),  # longest start of a trial without a confirmation
    ("confirm_after_s", 30),  # running this long is healthy, where the application says nothing
    ("connect_s", 15),  # longest wait for the broker before the application starts
    ("desired_s", 2),  # longest wait for a retained desired state after that
    ("poll_s", 900),  # the broker was away this long: HTTP instead
    ("stale_s", 691200),  # running this long without a signed time is reported
    ("installs_day", 24),  # installs a day, for the life of the flash
    ("crash_pause_s", 5),  # before a crashed application starts again, doubled each time
)


def device(root, state):
    """device.json as the configuration in force has it, a complete dict.

    A configuration that cannot be read any more gives way to the one before, then to what was
    enrolled; `state` (ota.state's dict) is changed then. Raises ValueError with a sentence.
    """
    value = _read(root + "/kiln/device.json")
    for name in ("id", "board", "repo"):
        if type(value.get(name)) is not str or not value[name]:
            raise ValueError("device.json: %s is missing" % name)
    if len(value["id"]) > 64:
        raise ValueError("device.json: id is longer than 64")
    for name, default in _DEFAULTS:
        if type(value.setdefault(name, default)) not in (int, float) or value[name] < 0:
            raise ValueError("device.json: %s is no number" % name)
    found = _in_force(root, state)
    _lay_over(value, found.get("device", {}) if found else {})
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
    """The release of the agent that the configuration in force names, or None.

    A dict with "release", "size" and "counter".
    """
    found = _in_force(root, state)
    return found.get("agent") if found else None


def slot(state):
    """The configuration slot that may be written now."""
    return "b" if state["config"] == "a" else "a"


def take(raw, named, device, root, slot, seq=0):
    """Check the configuration `raw` and write it into `slot`, which is not in force; its JSON.

    `named` is the digest that the desired state names, `device` the dict of device(), `seq` of
    the desired state. Raises RefusedError; OSError when flash fails.
    """
    if len(raw) > LIMIT:
        raise RefusedError("too_large", "configuration of %d bytes" % len(raw))
    if _sha256(raw) != named:
        raise RefusedError("digest_mismatch", "configuration")
    content = _open(raw, device.get("key"))
    value = _parse(content, device)
    path = root + "/kiln/config." + slot
    with open(path, "wb") as f:
        f.write(("%s %s %d\n" % (named, _sha256(content), seq)).encode())
        f.write(content)
    if held(root, slot) != (named, seq):
        raise RefusedError("digest_mismatch", "configuration on flash")
    return value


def held(root, slot):
    """(digest, seq) of the configuration in `slot`, whole; None where there is none."""
    found = _load(root, slot)
    return found and found[:2]


def _in_force(root, state):
    chosen = state["config"]
    if not chosen:
        return None
    for name in (chosen, slot(state)):
        found = _load(root, name) if state["configs"][name] else None
        if found and found[0] == state["configs"][name]:
            state["config"] = name
            return json.loads(found[2])
    state["config"] = ""
    return None


def _load(root, slot):
    # (digest, seq, JSON bytes), or None unless every byte is as it was written.
    try:
        path = root + "/kiln/config." + slot
        if os.stat(path)[6] > LIMIT + _HEAD:
            return None
        with open(path, "rb") as f:
            named, content_digest, seq = f.readline().decode().split(" ")
            content = f.read()
        return (named, int(seq), content) if _sha256(content) == content_digest else None
    except (OSError, ValueError):
        return None


def _open(raw, key):
    # The JSON bytes inside. A device with a key never takes a configuration in plain text: what
    # its settings were would then be for anybody to read who gets hold of the store.
    if key is None:
        if raw[:7] != b"KILNC0\n":
            raise RefusedError("bad_config", "not for a device without a key")
        return raw[7:]
    if raw[:7] != b"KILNC1\n" or len(raw) < 7 + 2 * _BLOCK or (len(raw) - 7) % _BLOCK:
        raise RefusedError("bad_config", "not encrypted")
    try:
        from cryptolib import aes
    except ImportError:
        from ucryptolib import aes  # before MicroPython 1.21
    content = bytearray(len(raw) - 7 - _BLOCK)
    cipher = aes(binascii.unhexlify(key), _CBC, raw[7 : 7 + _BLOCK])
    cipher.decrypt(memoryview(raw)[7 + _BLOCK :], content)
    # PKCS #7 (RFC 5652, section 6.3): as many bytes as the last one says, all like it.
    pad = content[-1]
    if not 1 <= pad <= _BLOCK or any(byte != pad for byte in memoryview(content)[-pad:]):
        raise RefusedError("bad_config", "encrypted with another key")
    return bytes(memoryview(content)[:-pad])


def _parse(content, device):
    try:
        value = json.loads(content)
    except (ValueError, RuntimeError):  # RuntimeError: CPython's nesting limit
        raise RefusedError("bad_config", "not JSON") from None
    if type(value) is not dict or value.get("v") != 1 or type(value.get("settings")) is not dict:
        raise RefusedError("bad_config", "no object of version 1 with settings")
    if type(value.get("device", {})) is not dict:
        raise RefusedError("bad_config", "device is no object")
    try:
        _lay_over(dict(device), value.get("device", {}))
    except ValueError as e:
        raise RefusedError("bad_config", e.args[0]) from None
    if "agent" in value and not _names_agent(value["agent"]):
        raise RefusedError("bad_config", "agent is no release")
    return value


def _names_agent(agent):
    return (
        type(agent) is dict
        and _is_digest(agent.get("release"))
        and all(type(agent.get(name)) is int and agent[name] > 0 for name in ("size", "counter"))
    )


def _lay_over(device, changes):
    # Put the line of `changes` into `device` and check the whole line.
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
        ("key", key is None or _is_digest(key)),
    ):
        if not good:
            raise ValueError("device: %s is missing or wrong" % name)
    port = mqtt.setdefault("port", 1883)
    if type(port) is not int or not 0 < port < 65536:
        raise ValueError("device: mqtt.port is no port")


def _is_text(value):
    # No control character: a token or an address stands in the header of a request.
    return type(value) is str and 0 < len(value) <= _TEXT and all(c >= " " for c in value)


def _is_digest(value):
    hexadecimal = "0123456789abcdef"
    return type(value) is str and len(value) == 64 and all(c in hexadecimal for c in value)


def _is_address(value):
    return _is_text(value) and (value[:7] == "http://" or value[:8] == "https://")


def _sha256(raw):
    return binascii.hexlify(hashlib.sha256(raw).digest()).decode()


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
