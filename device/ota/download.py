# One HTTP/1.1 GET whose body is read like a file; a broken line is taken up again with Range
# (RFC 9110 section 14). Anything but a plain answer of the promised length is refused.
import select
import socket

from micropython import const

from ota import hal
from ota.reason import RefusedError

_STALL_MS = const(10000)  # longest silence
_BASE_MS = const(60000)  # whole time allowed: this, and ...
_BYTES_A_SECOND = const(512)  # ... this rate at least
_ATTEMPTS = const(6)  # in a row without a new byte
_BACKOFF_MS = const(500)  # doubled each time
_LINE_LIMIT = const(512)  # bytes of a header line
_LINES_LIMIT = const(48)


class Bundle:
    """The `size` bytes of the bundle `release`, as a source with readinto().

    `device` is device.json's dict; `idle` is called at least every 100 ms while waiting.
    """

    def __init__(self, device, release, size, idle):
        self._device = device
        self._host, self._port, prefix = split(device["base"])
        self._path = prefix + "/ota/v1/releases/" + release + "/bundle"
        self._size = size
        self._idle = idle
        self._at = 0
        self._sock = None
        self._poller = None
        self._failures = 0
        self._start = hal.ticks_ms()
        self._spare = b""  # body bytes that came with the headers

    def readinto(self, view):
        """Read 1 to len(view) bytes; 0 at the end. Raises RefusedError after all retries."""
        left = self._size - self._at
        if not left:
            return 0
        while True:
            try:
                if self._sock is None:
                    self._open()
                n = self._read(view[: min(len(view), left)])
            except (OSError, EOFError) as e:
                self._fail(e)
                continue
            self._at += n
            self._failures = 0
            return n

    def close(self):
        if self._sock is not None:
            self._sock.close()
            self._sock = self._poller = None
        self._spare = b""

    def _fail(self, error):
        self.close()
        self._failures += 1
        hal.log("download:", error.args[0] if error.args else "closed", "at byte", self._at)
        if self._failures >= _ATTEMPTS:
            raise RefusedError("download_failed", "no answer: " + repr(error))
        pause = _BACKOFF_MS << self._failures
        until = hal.ticks_ms() + pause // 2 + hal.jitter(pause // 2)
        while hal.ticks_diff(until, hal.ticks_ms()) > 0:
            hal.sleep_ms(50)
            self._idle()

    def _open(self):
        address = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)[0][-1]
        self._sock = socket.socket()
        self._sock.settimeout(_STALL_MS // 1000)
        self._sock.connect(address)
        request = "GET %s HTTP/1.1\r\nHost: %s\r\n" % (self._path, self._host)
        request += "Authorization: Bearer %s\r\n" % self._device["token"]
        request += "X-Kiln-Device: %s\r\n" % self._device["id"]
        if self._at:
            request += "Range: bytes=%d-\r\n" % self._at
        self._sock.write((request + "Connection: close\r\n\r\n").encode())
        self._sock.setblocking(False)
        self._poller = select.poll()
        self._poller.register(self._sock, select.POLLIN)
        self._head()

    def _head(self):
        status = self._line().split(b" ", 2)
        if len(status) < 2 or status[0][:7] != b"HTTP/1.":
            raise OSError("not HTTP")
        length, span = None, b""
        for _ in range(_LINES_LIMIT):
            line = self._line()
            if not line:
                break
            name, _, value = _partition(line)
            if name == b"content-length":
                length = value
            elif name == b"content-range":
                span = value
            elif name in (b"transfer-encoding", b"content-encoding") and value != b"identity":
                raise RefusedError("download_failed", "encoded answer")
        else:
            raise RefusedError("download_failed", "too many header lines")
        self._accept(status[1], length, span)

    def _accept(self, status, length, span):
        if status[:1] == b"5":
            raise OSError("HTTP " + status.decode())  # worth another attempt
        wanted = b"206" if self._at else b"200"
        if status == b"200" and self._at:
            # The server does not resume: what is on flash already is skipped by starting again.
            raise RefusedError("download_failed", "server does not resume")
        if status != wanted:
            raise RefusedError("download_failed", "HTTP " + _printable(status))
        if length is None or not length.isdigit():
            raise RefusedError("download_failed", "no length")
        left = self._size - self._at
        if len(length) > 10 or int(length) > left:
            raise RefusedError("too_large", "more than the promised %d bytes" % left)
        if int(length) < left:
            raise RefusedError("download_failed", "%d bytes, promised %d" % (int(length), left))
        if self._at and not span.startswith(b"bytes %d-" % self._at):
            raise RefusedError("download_failed", "another range")

    def _line(self):
        cut = self._spare.find(b"\n")
        while cut < 0:
            if len(self._spare) > _LINE_LIMIT:
                raise RefusedError("download_failed", "header line too long")
            self._wait()
            got = self._sock.read(64)
            if got == b"":
                raise EOFError
            self._spare += got or b""
            cut = self._spare.find(b"\n")
        line = self._spare[:cut].rstrip(b"\r")
        self._spare = self._spare[cut + 1 :]
        return line

    def _read(self, view):
        if self._spare:
            n = min(len(view), len(self._spare))
            view[:n] = self._spare[:n]
            self._spare = self._spare[n:]
            return n
        while True:
            self._wait()
            n = self._sock.readinto(view)
            if n == 0:
                raise EOFError
            if n:
                return n

    def _wait(self):
        start = hal.ticks_ms()
        while True:
            self._idle()
            now = hal.ticks_ms()
            spent = hal.ticks_diff(now, self._start)
            if spent > _BASE_MS + self._size * 1000 // _BYTES_A_SECOND:
                raise RefusedError("download_failed", "too slow")
            if self._poller.poll(100):
                return
            if hal.ticks_diff(hal.ticks_ms(), start) > _STALL_MS:
                raise OSError("stalled")


def split(base):
    """(host, port, path prefix) of an http:// address."""
    if base[:7] != "http://":
        raise RefusedError("download_failed", "base is no http:// address")
    place, _, prefix = base[7:].partition("/")
    host, _, port = place.partition(":")
    return host, int(port or "80"), ("/" + prefix if prefix else "").rstrip("/")


def _partition(line):
    name, colon, value = line.partition(b":")
    return name.strip().lower(), colon, value.strip()


def _printable(raw):
    return "".join(chr(c) for c in raw[:20] if 32 <= c < 127)
