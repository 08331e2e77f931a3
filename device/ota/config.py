# The files under /kiln that describe this device. They are written at enrolment and trusted.
import json
import os

_FILE_LIMIT = 4096  # bytes

# Defaults of device.json, in seconds except `boots`.
_DEFAULTS = (
    ("boots", 3),  # starts that a trial may take
    ("confirm_after_s", 30),  # running this long is healthy, where the application says nothing
    ("connect_s", 15),  # longest wait for the broker before the application starts
    ("desired_s", 2),  # longest wait for a retained desired state after that
    ("crash_pause_s", 5),  # before a crashed application starts again, doubled each time
)


def device(root):
    """device.json as a dict, complete. Raises ValueError with a sentence."""
    value = _read(root + "/kiln/device.json")
    for name in ("id", "token", "board", "repo", "base"):
        if type(value.get(name)) is not str or not value[name]:
            raise ValueError("device.json: %s is missing" % name)
    if len(value["id"]) > 64:
        raise ValueError("device.json: id is longer than 64")
    mqtt = value.get("mqtt")
    if type(mqtt) is not dict or type(mqtt.get("host")) is not str:
        raise ValueError("device.json: mqtt.host is missing")
    mqtt.setdefault("port", 1883)
    for name, default in _DEFAULTS:
        if type(value.setdefault(name, default)) not in (int, float) or value[name] < 0:
            raise ValueError("device.json: %s is no number" % name)
    return value


def settings(root):
    """settings.json, {} where there is none."""
    try:
        return _read(root + "/kiln/settings.json")
    except OSError:
        return {}


def _read(path):
    if os.stat(path)[6] > _FILE_LIMIT:
        raise ValueError(path + ": larger than %d bytes" % _FILE_LIMIT)
    with open(path) as f:
        try:
            value = json.loads(f.read())
        except ValueError:
            raise ValueError(path + ": not JSON") from None
    if type(value) is not dict:
        raise ValueError(path + ": not an object")
    return value
