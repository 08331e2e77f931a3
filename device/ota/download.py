# A long body, read like a file or into one; a broken line is taken up again with Range (RFC 9110
# section 14), also after a restart. Anything but a plain answer of a fitting length is refused.
from micropython import const

from ota import app, hal
from ota.reason import RefusedError

_STALL_S = const(10)  # longest silence
_GRACE_S = const(60)  # time without a look at the rate
_BYTES_A_SECOND = const(512)  # the rate wanted after that
_ATTEMPTS = const(6)  # in a row without a new byte
_BACKOFF_MS = const(500)  # doubled each time
_IDLE_MS = const(50)
_NAP_MS = const(5)


class Source:
    """The `size` bytes that the service holds under `path`, as a source with readinto().

    `device` is the effective device.json; `idle` is called at least every 100 ms. Where a server
    does not resume, what was read already is read again and dropped.
    """

    def __init__(self, device, path, size, idle):
        recovery = device.get("recovery")
        self._device = device
        self._path = path
        self._bases = [device["base"], recovery] if recovery else [device["base"]]
        self._idle = idle
        self._idled = self._began = hal.ticks_ms()
        self._line = None
        self._skip = 0  # bytes of this answer that were read before
        self._failures = 0
        self.size = size
        self.at = self._from = 0

    def readinto(self, view):
        """Read 1 to len(view) bytes; 0 at the end. Raises RefusedError after all retries."""
        while self.at != self.size:
            try:
                if self._line is None:
                    self.open()
                    continue
                left = self._skip or self.size - self.at
                n = self._read(view[:left] if left < len(view) else view)
            except OSError as e:
                self._fail(e)
                continue
            if self._skip:
                self._skip -= n
                continue
            self.at += n
            self._failures = 0
            return n
        return 0

    def close(self):
        if self._line is not None:
            self._line.close()
            self._line = None

    def _fail(self, error):
        self.close()
        self._failures += 1
        hal.log("download:", error.args[0] if error.args else "closed", "at byte", self.at)
        if self._failures >= _ATTEMPTS:
            raise RefusedError("download_failed", "no answer: " + repr(error))
        if len(self._bases) > 1:
            self._bases.append(self._bases.pop(0))
        pause = _BACKOFF_MS << self._failures
        until = hal.ticks_ms() + pause // 2 + hal.jitter(pause // 2)
        while hal.ticks_diff(until, hal.ticks_ms()) > 0:
            self._wait(_IDLE_MS)

    def open(self):
        """Ask for the rest of it, so that what asks is forgotten when the first byte is read."""
        from ota import http, net

        try:
            answer = net.finish(
                http.ask(self._device, self._bases[0], self._path, self.at), self._idle
            )
            self._line = answer.line
            self._accept(answer)
        except RefusedError as e:
            self.close()
            # Lies and refusals: only another base can know better.
            if e.reason == "no_pack" or len(self._bases) < 2:
                raise
            hal.log("download:", self._bases.pop(0), e.detail)
        finally:
            app.forget("http", "net", "redirect", "tls")

    def _accept(self, answer):
        status = answer.status
        if status >= 500:
            raise OSError("HTTP %d" % status)  # worth another attempt
        if status not in (200, 206) or (status == 206 and not self.at):
            raise RefusedError("download_failed", "HTTP %d" % status)
        start = self.at if status == 206 else 0
        total = start + answer.size()
        if start and answer.span != b"bytes %d-%d/%d" % (start, total - 1, total):
            raise RefusedError("download_failed", "another range")
        self._expect(total)
        self._skip = self.at - start

    def _expect(self, total):
        if total > self.size:
            raise RefusedError("too_large", "%d bytes, promised %d" % (total, self.size))
        if total < self.size:
            raise RefusedError("download_failed", "%d bytes, promised %d" % (total, self.size))

    def _read(self, view):
        start = hal.ticks_ms()
        patience_ms = self._device.get("stall_s", _STALL_S) * 1000
        while True:
            n = self._line.readinto(view)
            self._wait(0 if n else _NAP_MS)
            if n:
                return n
            if n == 0:
                raise OSError("closed")
            if hal.ticks_diff(hal.ticks_ms(), start) > patience_ms:
                raise OSError("stalled")

    def _wait(self, ms):
        if ms:
            hal.sleep_ms(ms)
        now = hal.ticks_ms()
        if hal.ticks_diff(now, self._idled) >= _IDLE_MS:
            self._idled = now
            self._idle()
        allowed = self._device.get("slow_s", _GRACE_S) * 1000
        allowed += (self.at - self._from) * 1000 // _BYTES_A_SECOND
        if hal.ticks_diff(now, self._began) > allowed:
            raise RefusedError("download_failed", "too slow")


def to_file(device, path, limit, target, idle):
    """Bring what the service holds under `path` into the file `target`; its size in bytes.

    What is in the file already is not fetched again; a block that was read is safe from a power
    cut. Raises RefusedError ("no_pack": there is none), with the file as far as it came, and
    OSError when flash fails.
    """
    from ota import resume

    try:
        return resume.to_file(device, path, limit, target, idle)
    finally:
        app.forget("resume")
