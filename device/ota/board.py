# What both lives of a board have in common: running an application (ota/agent.py), and following
# an order (ota/alone.py), for which there is a start of its own with the whole heap free.
import hashlib

from micropython import const

from ota import app, hal, state
from ota.reason import RefusedError

POLL_MS = const(20)
_LIMIT = const(1024)  # bytes of an order as JWS


class Board:
    """One device, with /kiln, /a and /b in `root`; `loaded` is the loader's state or None."""

    def __init__(self, root, loaded):
        """Read what /kiln holds. Raises OSError, ValueError without an identity."""
        from ota import reading

        reading.load(self, root, loaded)
        app.forget("reading")
        self.errand = None  # a generator: small I/O that yields whenever it would wait
        self.pending = None  # a desired state to act on
        self.heard = b""  # digest of the last message, so that a repetition costs nothing
        self.word = None  # what the broker said last, not judged yet
        self.unknown, self.walked = b"", None  # an order that newer keys may mend; when last so
        self.tried, self.failures = None, 0  # the order that failed just before this start
        self.skip = 0  # seq of the order that failed for now
        self.restarting = False
        self.unsaved_since = None  # ticks

    def turn(self, errands=True):
        """Move on what is under way; never waits."""

    def restart(self, why):
        """Restart the board; does not return."""
        hal.log("restart:", why)
        self.restarting = True
        hal.reset()

    def hear(self, raw, last=False):
        """Judge a desired state: a message of the broker, or the answer to a question by HTTP.

        Unless it is the `last` word, a newer root document is looked for before it is refused.
        """
        mark = hashlib.sha256(raw).digest()
        if mark == self.heard:
            return  # a repetition costs nothing
        self.heard = mark
        if raw == self.tried:
            return  # its download failed just before this start
        payload = error = None
        try:
            # First, and with nothing else: there is room for the signature's numbers.
            app.forget("notice", "wants", "moves", "field")
            payload = app.signed(self.root, "director", raw, _LIMIT) if raw else None
        except RefusedError as e:
            error = e
        from ota import orders

        orders.judge(self, raw, payload, error, last)
        app.forget("orders", "notice", "wants", "moves", "field")

    def finish(self, errand, limit_ms):
        """Run `errand` to its end, before the application; its result. Raises RefusedError."""
        start = hal.ticks_ms()
        try:
            while True:
                next(errand)
                if self.age(start) > limit_ms:
                    raise RefusedError("download_failed", "no answer in time")
                self.turn(False)
                hal.sleep_ms(POLL_MS)
        except StopIteration as end:
            return end.value
        except MemoryError:
            # Raised, it would restart the board, to the same end.
            raise RefusedError("download_failed", "out of memory") from None
        finally:
            errand.close()

    def save(self):
        """Write the state. A full flash must not stop an application: tick() tries again."""
        self.state["unheard"] = self.clock.age()
        try:
            state.save(self.root + "/kiln", self.state)
        except OSError as e:
            hal.log("state not saved:", repr(e))
            self.unsaved_since = hal.ticks_ms()
            return False
        self.unsaved_since = None
        return True

    def keep_log(self):
        """Write the last lines to flash, after something bad."""
        from ota import logbook

        logbook.keep(self.root)
        app.forget("logbook")

    def age(self, start):
        """Milliseconds since the ticks `start`."""
        return hal.ticks_diff(hal.ticks_ms(), start)

    def renewal(self):
        """The module that updates the agent itself."""
        from ota import selfupdate

        return selfupdate
