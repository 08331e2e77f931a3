# Time in which nothing waits: what the agent takes for `time`, `gc` and the chance of `os`. A
# board that sleeps long without doing anything is at rest, and its life ends there.
import gc as real_gc
import os
import random
import time as real_time

_QUIET_MS = 400000  # longer than any pause of the agent
_STEP_MS = 20000
NONCE_BYTES = 16
NONCES = 8


class RestError(BaseException):
    """Nothing will change any more."""


class Time:
    """The module `time`. Sleeps take no time, and longer ones follow the more nothing happens."""

    def __init__(self):
        self.now = 0
        self._quiet_since = 0
        self._stretch = 1
        self._log = ()
        self._operations = 0

    def watch(self, log):
        """Take new entries in `log`, a flash's, for activity."""
        self._log = log
        self._operations = -1

    def active(self):
        """Something happened: flash was written, or the network spoke."""
        self._quiet_since = self.now
        self._stretch = 1

    def ticks_ms(self):
        self.now += 1  # so that loops without a pause end too
        return self.now

    def ticks_diff(self, end, start):
        return end - start

    def ticks_add(self, ticks, delta):
        return ticks + delta

    def sleep_ms(self, ms):
        if len(self._log) != self._operations:
            self._operations = len(self._log)
            self.active()
        self.now += min(int(ms) * self._stretch, max(ms, _STEP_MS)) + 1
        self._stretch = min(self._stretch * 2, 1024)
        if self.now - self._quiet_since > _QUIET_MS:
            raise RestError

    def sleep(self, seconds):
        self.sleep_ms(int(seconds * 1000))

    def time(self):
        return self.now // 1000  # a board without a clock begins in 1970

    def gmtime(self, seconds):
        return real_time.gmtime(seconds)


class Chance:
    """The module `os`, but for its chance: numbers once used come from a short list, for which a
    plan holds signed answers. All others follow from the seed of `random`, so that a life can be
    lived again."""

    def __init__(self):
        for name in dir(os):
            setattr(self, name, getattr(os, name))
        self._drawn = 0
        self.urandom = self._draw

    def _draw(self, size):
        if size != NONCE_BYTES:
            return bytes(random.getrandbits(8) for _ in range(size))
        self._drawn = (self._drawn + 1) % NONCES
        return bytes(size - 1) + bytes((self._drawn,))


class Collector:
    """The module `gc`. The agent collects often for small heaps' sake; here that is only slow.

    What it needs in memory is measured elsewhere.
    """

    def __init__(self):
        self._calls = 0

    def collect(self):
        self._calls += 1
        if self._calls % 64 == 0:
            real_gc.collect()

    def threshold(self, _bytes=0):
        pass

    def mem_free(self):
        return 100000

    def mem_alloc(self):
        return 100000
