# What a device asks its service by HTTP (docs/ota.md, "Fetch"), each as an errand: it yields while
# it would wait, and returns its result. Raises RefusedError.
from micropython import const

from ota import http
from ota.reason import RefusedError

_ORDER_LIMIT = const(1024)  # bytes: a desired state, a time
_CONFIG_LIMIT = const(4096)
_ROOT_LIMIT = const(8192)


def desired(device):
    """Errand: the newest desired state as JWS, None where there is none."""
    return (yield from _get(device, _own(device, "desired"), _ORDER_LIMIT, 204))


def time(device, nonce):
    """Errand: the service's time as JWS, for `nonce` (32 hex digits)."""
    return (yield from _get(device, _own(device, "time?nonce=" + nonce), _ORDER_LIMIT))


def config(device, digest):
    """Errand: the bytes of the configuration of that digest."""
    return (yield from _get(device, _own(device, "config/" + digest), _CONFIG_LIMIT))


def root(device, version):
    """Errand: root document `version`, None where there is none."""
    return (yield from _get(device, "/ota/v1/roots/%d" % version, _ROOT_LIMIT, 404, False))


def report(device, text):
    """Errand: True, the report `text` was taken."""
    path = _own(device, "report")
    status, _ = yield from http.fetch(device, path, 0, text.encode())
    if status >= 300:
        raise RefusedError("download_failed", "HTTP %d" % status)
    return True


def _own(device, what):
    return "/ota/v1/devices/%s/%s" % (device["id"], what)


def _get(device, path, limit, none=0, known=True):
    status, raw = yield from http.fetch(device, path, limit, None, known)
    if status == none:
        return None
    if status != 200:
        raise RefusedError("download_failed", "HTTP %d" % status)
    return raw
