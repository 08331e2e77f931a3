# Addresses, and lines that never wait: what would wait yields instead, and is called an errand.
import select
import socket

from micropython import const

from ota import hal
from ota.reason import RefusedError

_IN_PROGRESS = (11, 36, 114, 115, 119)  # EAGAIN, EINPROGRESS and EALREADY of the ports
_NAP_MS = const(10)


def split(url):
    """(tls, host, port, path) of an http:// or https:// address. Raises RefusedError."""
    tls = url[:8] == "https://"
    place, slash, path = url[8 if tls else 7 :].partition("/")
    host, colon, port = place.partition(":")
    if not colon:
        port = "443" if tls else "80"
    good = (tls or url[:7] == "http://") and 0 < len(host) < 128 and 0 < len(port) < 6
    good = (
        good and all(33 <= c <= 126 for c in url.encode()) and port.isdigit() and int(port) < 65536
    )
    # No user@, no [v6], no query in place of a path: what a host may not hold could mean another.
    if not good or not _plain(host):
        raise RefusedError("download_failed", "no address: " + url[:80])
    return tls, host.lower(), int(port), slash + path


def _plain(host):
    return all(97 <= c | 32 <= 122 or 48 <= c <= 57 or c in (45, 46, 95) for c in host.encode())


def dial(host, port, tls=None):
    """Errand: a connected socket that never waits, below TLS where `tls` is a dict.

    Waits for one DNS query. A handshake goes on with the first reads and writes. Raises OSError.
    """
    info = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0]
    sock = socket.socket()
    try:
        sock.setblocking(False)
        try:
            sock.connect(info[-1])
        except OSError as e:
            if e.args[0] not in _IN_PROGRESS:
                raise
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        while True:
            events = poller.poll(0)
            if events:
                break
            yield
        if events[0][1] & (select.POLLERR | select.POLLHUP):
            raise OSError("connection refused")
        if tls is None:
            return sock
        from ota import tls as layer

        return layer.over(sock, host, tls)
    except:  # also when the errand is given up
        sock.close()
        raise


def write(line, data):
    """Errand: all of `data` is written."""
    view = memoryview(data)
    while view:
        n = line.write(view)
        if n:
            view = view[n:]
        else:
            yield


def within(errand, limit_ms):
    """Errand: the result of `errand`, which is given up with OSError after `limit_ms`."""
    start = hal.ticks_ms()
    while True:
        try:
            next(errand)
        except StopIteration as e:
            return e.value
        if hal.ticks_diff(hal.ticks_ms(), start) > limit_ms:
            errand.close()
            raise OSError("no answer in time")
        yield


def finish(errand, idle):
    """Run `errand` to its end and return its result; `idle` is called while it waits."""
    while True:
        try:
            next(errand)
        except StopIteration as e:
            return e.value
        idle()
        hal.sleep_ms(_NAP_MS)
