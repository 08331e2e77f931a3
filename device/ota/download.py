# A long body, read like a file or into one; a broken line is taken up again with Range (RFC 9110
# section 14), also after a restart. Anything but a plain answer of a fitting length is refused.
import os

from micropython import const

from ota import hal, http, net
from ota.reason import RefusedError

NO_PACK = "no_pack"  # there is none: no refusal, and never reported

_GRACE_S = const(60)  # time without a look at the rate
_BYTES_A_SECOND = const(512)  # the rate wanted after that
_ATTEMPTS = const(6)  # in a row without a new byte
_BACKOFF_MS = const(500)  # doubled each time
_IDLE_MS = const(50)
_NAP_MS = const(5)
_SYNC_BYTES = const(4096)  # a block of flash
_ENOENT = const(2)


class Source:
    """The `size` bytes that the service holds under `path`, as a source with readinto().

    `device` is the effective device.json; `idle` is called at least every 100 ms. Where a server
    does not resume, what was read already is read again and dropped.
    """

    def __init__(self, device, path, size, idle):
        self._device = device
        self._path = path
        self._bases = http.bases(device)
        self._idle = idle
        self._idled = self._began = hal.ticks_ms()
        self._answer = None
        self._skip = 0  # bytes of this answer that were read before
        self._failures = 0
        self._slow_ms = int(device.get("slow_s", _GRACE_S) * 1000)
        self.size = size
        self.at = self._from = 0

    def readinto(self, view):
        """Read 1 to len(view) bytes; 0 at the end. Raises RefusedError after all retries."""
        while self.at != self.size:
            try:
                if self._answer is None:
                    self._open()
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
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _fail(self, error):
        self.close()
        self._failures += 1
        hal.log("download:", error.args[0] if error.args else "closed", "at byte", self.at)
        if self._failures >= _ATTEMPTS:
            raise http.gone(error)
        if len(self._bases) > 1:
            self._bases.append(self._bases.pop(0))
        pause = _BACKOFF_MS << self._failures
        until = hal.ticks_ms() + pause // 2 + hal.jitter(pause // 2)
        while hal.ticks_diff(until, hal.ticks_ms()) > 0:
            self._wait(_IDLE_MS)

    def _open(self):
        try:
            asking = http.ask(self._device, self._bases[0], self._path, self.at)
            self._answer = net.finish(asking, self._idle)
            self._accept(self._answer)
        except RefusedError as e:
            self.close()
            # Lies and refusals: only another base can know better.
            if e.reason == NO_PACK or len(self._bases) < 2:
                raise
            hal.log("download:", self._bases.pop(0), e.detail)

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
        while True:
            n = self._answer.readinto(view)
            self._wait(0 if n else _NAP_MS)
            if n:
                return n
            if hal.ticks_diff(hal.ticks_ms(), start) > http.silence_ms(self._device):
                raise OSError("stalled")

    def _wait(self, ms):
        if ms:
            hal.sleep_ms(ms)
        now = hal.ticks_ms()
        if hal.ticks_diff(now, self._idled) >= _IDLE_MS:
            self._idled = now
            self._idle()
        allowed = self._slow_ms + (self.at - self._from) * 1000 // _BYTES_A_SECOND
        if hal.ticks_diff(now, self._began) > allowed:
            raise RefusedError("download_failed", "too slow")


class _File(Source):
    # The same for a file of at most `limit` bytes, `at` of which are there already. A server that
    # does not resume makes it start anew: what it holds now may be another file.
    def __init__(self, device, path, limit, idle, at):
        super().__init__(device, path, None, idle)
        self._limit = limit
        self.at = self._from = at

    def _accept(self, answer):
        if answer.status == 404 and self.size is None:
            raise RefusedError(NO_PACK)
        if answer.status == 416 and self.at:
            # All of it is here already (RFC 9110 section 15.5.17), or it is no part of this file.
            if answer.span == b"bytes */%d" % self.at:
                self.size = self.at
                return
            self._anew()
            self.close()
            return
        super()._accept(answer)
        if self._skip:
            self._anew()

    def _anew(self):
        self.at = self._from = self._skip = 0

    def _expect(self, total):
        if total > self._limit:
            raise RefusedError("too_large", "%d bytes, at most %d" % (total, self._limit))
        if self.size not in (None, total):
            raise RefusedError("download_failed", "another size")
        self.size = total


def to_file(device, path, limit, target, idle):
    """Bring what the service holds under `path` into the file `target`; its size in bytes.

    What is in the file already is not fetched again; a block that was read is safe from a power
    cut. Raises RefusedError (NO_PACK: there is none), with the file as far as it came, and OSError
    when flash fails.
    """
    done = _size(target)
    if done > limit:
        done = 0
    source = _File(device, path, limit, idle, done)
    view = memoryview(bytearray(512))
    f = open(target, "ab" if done else "wb")
    try:
        while True:
            n = source.readinto(view[: min(len(view), _SYNC_BYTES - done % _SYNC_BYTES)])
            if source.at - n != done:
                done = 0
                f.close()
                f = open(target, "wb")
            if not n:
                return done
            f.write(view[:n])
            done += n
            if not done % _SYNC_BYTES:
                f.close()
                f = open(target, "ab")
    finally:
        f.close()
        source.close()


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0
