# What a device asks its service by HTTP (docs/ota.md, "Fetch"), each as an errand: it yields while
# it would wait, and returns its result. Raises RefusedError.
from micropython import const

from ota import hal, http, net
from ota.reason import RefusedError

_WHOLE_MS = const(20000)  # one exchange with one base
_ORDER_LIMIT = const(1024)  # bytes: a desired state, a time
_WORDS_LIMIT = const(256)  # what a service may say about a report
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
    status, _ = yield from fetch(device, path, _WORDS_LIMIT, text.encode())
    if status >= 300:
        raise RefusedError("download_failed", "HTTP %d" % status)
    return True


def _own(device, what):
    return "/ota/v1/devices/%s/%s" % (device["id"], what)


def _get(device, path, limit, none=0, known=True):
    status, raw = yield from fetch(device, path, limit, None, known)
    if status == none:
        return None
    if status != 200:
        raise RefusedError("download_failed", "HTTP %d" % status)
    return raw


def fetch(device, path, limit, body=None, known=True):
    """Errand: (status, bytes) of `path`, at most `limit` bytes, none with a status from 300 on.

    `body` (bytes) makes it a POST; without `known` the request does not say who asks. The base
    answers, else the recovery base. Raises RefusedError when none does.
    """
    failure = None
    for base in (device["base"], device.get("recovery")):
        if not base:
            continue
        try:
            whole = _whole(device, base, path, limit, body, known)
            found = yield from net.within(whole, _WHOLE_MS)
        except (OSError, RefusedError) as e:
            hal.log("http:", base, *e.args)
            failure = failure if type(failure) is tuple else e
            continue
        if found[0] < 300:
            return found
        failure = found
    if type(failure) is tuple:
        return failure
    if type(failure) is not RefusedError:
        failure = RefusedError("download_failed", "no answer: " + repr(failure))
    raise failure


def _whole(device, base, path, limit, body, known):
    answer = yield from http.ask(device, base, path, 0, body, known)
    try:
        if answer.status >= 300 or answer.status == 204:
            return answer.status, b""
        size = answer.size()
        if size > limit:
            raise RefusedError("too_large", "%d bytes of %s" % (size, path))
        raw = bytearray(size)
        view = memoryview(raw)
        while view:
            n = answer.line.readinto(view)
            if n == 0:
                raise OSError("closed")
            if n:
                view = view[n:]
            else:
                yield
        return answer.status, bytes(raw)
    finally:
        answer.close()
