# The time, as far as the director key says it (docs/ota.md, "Time"). A board's own clock and NTP
# are believed in nothing: whoever sets them could let an old order live, or a good one die.
import binascii
import os

from micropython import const

from ota import hal

LIMIT = const(1024)  # bytes of the JWS
_NONCE_BYTES = const(16)
_MAX = const(0x7FFFFFFFFFFFFFFF)
_DAY_S = const(86400)
_PATIENCE_S = const(900)  # without a broker, before an answer is asked for all the same


def nonce():
    """32 hex digits that nobody can have signed before."""
    return binascii.hexlify(os.urandom(_NONCE_BYTES)).decode()


def accept(jws, keys, device_id, asked):
    """(Unix seconds, seq of the newest desired state) of the answer `jws` to the nonce `asked`.

    Raises RefusedError.
    """
    from ota import field, verify
    from ota.reason import RefusedError

    said = field.document(verify.payload(jws, keys, LIMIT), "time")
    field.integer(said, "time", 1, _MAX)
    field.integer(said, "seq", 0, _MAX)
    if said.get("device") != device_id:
        raise RefusedError("wrong_device", "time for another device")
    if said.get("nonce") != asked:
        raise RefusedError("replayed", "time for another nonce")
    return said["time"], said["seq"]


class Clock:
    """Time since the last signed answer. Call `now` at least once in six days: ticks wrap."""

    def __init__(self, age=0):
        self._time = None  # Unix seconds of the last answer of this start
        self.seconds = age  # since the last answer
        self._rest_ms = 0
        self._ticks = hal.ticks_ms()
        self.next = age  # the age at which an answer is due

    def set(self, time):
        """An answer came: it is `time` now, Unix seconds."""
        self.age()
        self._time, self.seconds, self._rest_ms, self.next = time, 0, 0, _DAY_S

    def doubt(self):
        """The key that said the time holds no more: ask again."""
        self._time, self.next = None, 0

    def due(self, connected):
        """Whether to ask now: once a day, and at a start as soon as there is a broker."""
        return self.age() >= self.next + (0 if connected else _PATIENCE_S)

    def later(self, seconds):
        """Not due again for so long, unless an answer comes."""
        self.next = self.age() + seconds

    def now(self):
        """Unix seconds, or None before the first answer of this start."""
        age = self.age()
        return None if self._time is None else self._time + age

    def age(self):
        """Seconds since the last answer, in earlier starts as well."""
        ticks = hal.ticks_ms()
        # In seconds and a rest, so that the numbers stay small integers on every board.
        self._rest_ms += hal.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        self.seconds += self._rest_ms // 1000
        self._rest_ms %= 1000
        return self.seconds

    def stale(self, limit_s):
        """Whether `limit_s` passed without an answer."""
        return self.age() >= limit_s
