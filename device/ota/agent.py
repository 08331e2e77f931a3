# The agent's life: at a start, before the application, look for another release with the whole
# heap free; then run the application and keep the line to the broker alive from its loop.
from micropython import const

from ota import app, hal, link, slots, state, voice
from ota.reason import RefusedError

_POLL_MS = const(20)
_SAVE_AGAIN_MS = const(10000)
_AGAIN_LIMIT_S = const(21600)
_STEADY_MS = const(600000)  # a crash after running this long is the first in a row


class Agent:
    """One device, with /kiln, /a and /b in `root`; `loaded` is the loader's state or None."""

    def __init__(self, root="", loaded=None):
        from ota import clock, config, trust

        self.root = root
        self.state, intact = state.load(root + "/kiln")
        self.device = config.device(root, self.state)
        self.settings = config.settings(root, self.state)
        # A new way to the service is yet to be proven.
        self.moved = state.reconfigured(self.state) and config.moved(root, self.state)
        trust.adopt(self)
        self.clock = clock.Clock()
        app.forget("config", "trust", "clock")
        self.link = link.Link(self.device)
        self.voice = voice.Voice()
        self.errand = None  # a generator: small I/O that yields whenever it would wait
        self.loaded = loaded
        self.fresh = bool(loaded and loaded["trial"])  # this agent, or firmware, is on trial
        self.renew = False  # another agent, or firmware, is to be taken at the next start
        self.busy = False
        self.pending = None  # a desired state to act on
        self.heard = b""  # digest of the last message, so that a repetition costs nothing
        self.unknown, self.walked = b"", None  # an order that newer keys may mend; when last so
        self.asked = None  # ticks of the last answer that there is no newer root document
        self.skip, self._again = 0, None  # seq that failed for now; ticks of that, and the pause
        self.well = False  # the application called itself healthy
        self.ticked = False  # the application has come as far as its loop
        self.since = None  # ticks of the application's start
        self.dog = None  # the watchdog of a trial
        self.wakes = 0  # from deep sleep since orders were looked for
        self.resting = False  # a wake that is not for looking: no network
        self._born = hal.ticks_ms()
        self.restarting = self.trying = False  # trying: this firmware is on trial
        self._unsaved_since, self._intact = None, intact

    def run(self):
        """Start the board; does not return, a board always ends in a restart."""
        self.boot()
        active = self.state["active"]
        record = self.state[active]
        hal.log("start", record["version"], "slot", active, "trial" if self.state["trial"] else "")
        self.since = hal.ticks_ms()
        if self.state["trial"]:
            self._trial().arm(self)
        try:
            app.start(slots.path(self.root, active))
            hal.log("the application ended, the agent stays")
            while True:
                self.tick()
                hal.sleep_ms(_POLL_MS)
        except SystemExit:
            if self.restarting:
                raise
            self.restart("exit of the application")
        except Exception as error:
            app.stop()  # it may have been the want of memory
            self._trial().crashed(self, error)

    def boot(self):
        """Everything before the application: count a trial start, or look for an update.

        Returns with a slot to start. An empty board stays here until its first release.
        """
        if not self._intact:
            self._restore()
        if hal.partitions():
            app.firmware().start(self)
        config = self.state["config"]
        if self.state["trial"]:
            self._trial().count(self)
        self._check_slot()
        if self.state["config"] != config:
            self.restart("the configuration from before")
        if hal.cause() == "deepsleep":
            from ota import nap

            self.resting = nap.rests(self)
            app.forget("nap", "chip")
        if self.resting:
            return
        hal.join_network(self.settings, self.state["trial"] is not None)
        if self.loaded and self.loaded["outcome"]:
            self.renewal().report(self)
        app.forget("selfupdate", "native")
        if self.state["trial"] is None:
            if hal.cause() == "wdt":
                self._trial().bitten(self)
            app.forget("trial")
            from ota import follow

            follow.look(self)
            app.forget("follow")

    def tick(self):
        """One turn of the agent while the application runs; returns at once."""
        self.ticked = True
        if self.restarting:  # the application caught our SystemExit
            hal.reset()
        self.turn()
        self._settle()
        if self.dog:
            self.dog.feed()

    def healthy(self):
        self.well = True
        self.tick()

    def unhealthy(self, why):
        self._trial().unhealthy(self, why)

    def deepsleep(self, ms):
        from ota import nap

        nap.sleep(self, ms)

    def restart(self, why):
        """Leave the broker in an orderly way and restart the board; does not return."""
        hal.log("restart:", why)
        self.restarting = True
        self.link.close()
        hal.reset()

    def turn(self, errands=True):
        """Move the line, the reports and, if wanted, the errand on; never waits."""
        if self.resting:
            return
        raw = self.link.poll()
        if raw is not None:
            self.hear(raw)
        if self.voice.speak(self):
            self.save()
        if self.fresh:
            self._prove()
        if self.errand is not None and errands:
            self._step()
        elif errands and (self.unknown or self.clock.due(self.link.up())):
            from ota import upkeep

            self.errand = upkeep.begin(self)

    def hear(self, raw):
        """Judge a desired state: a message of the broker, or the answer to a question by HTTP."""
        from ota import orders

        orders.hear(self, raw)
        app.forget("orders", "notice", "verify", "field", "trust")

    def finish(self, errand, limit_ms):
        """Run `errand` to its end, before the application; its result. Raises RefusedError."""
        start = hal.ticks_ms()
        try:
            while True:
                next(errand)
                if self.age(start) > limit_ms:
                    raise RefusedError("download_failed", "no answer in time")
                self.turn(False)
                hal.sleep_ms(_POLL_MS)
        except StopIteration as end:
            return end.value
        except MemoryError:
            # Raised, it would restart the board, to the same end.
            raise RefusedError("download_failed", "out of memory") from None
        finally:
            errand.close()

    def until(self, done, limit_ms):
        """Turn until done() is true, at most `limit_ms`. Whether it became true."""
        start = hal.ticks_ms()
        while self.age(start) < limit_ms:
            self.turn()
            if self.dog:
                self.dog.feed()
            if done():
                return True
            hal.sleep_ms(_POLL_MS)
        return False

    def save(self):
        """Write the state. A full flash must not stop an application: tick() tries again."""
        try:
            state.save(self.root + "/kiln", self.state)
        except OSError as e:
            hal.log("state not saved:", repr(e))
            self._unsaved_since = hal.ticks_ms()
            return False
        self._unsaved_since = None
        return True

    def postpone(self, seq):
        """The order `seq` failed for now: go on, and try again later, much later if uncounted."""
        self.skip = seq
        pause_s = self.device["again_s"] * 2 ** min(self.state["tries"], 10)
        self.state["tries"] += 1
        pause_s = min(pause_s, _AGAIN_LIMIT_S) if self.save() else _AGAIN_LIMIT_S
        self._again = hal.ticks_ms(), int(pause_s * (500 + hal.jitter(500)))

    def keep_log(self):
        """Write the last lines to flash, after something bad."""
        from ota import logbook

        logbook.keep(self.root)
        app.forget("logbook")

    def age(self, start):
        """Milliseconds since the ticks `start`."""
        return hal.ticks_diff(hal.ticks_ms(), start)

    def _step(self):
        try:
            next(self.errand)
            return
        except StopIteration:
            pass
        except (RefusedError, OSError, ValueError, MemoryError) as e:
            # An errand is never urgent: it comes again, and the application goes on.
            hal.log("errand:", *e.args)
        self.errand = None
        app.forget("upkeep")

    def may_renew(self):
        """Whether the configuration in force names another agent."""
        able = self.loaded and not self.fresh and self.state["config"]
        due = able and self.renewal().due(self) is not None
        app.forget("selfupdate")
        return bool(due)

    def _prove(self):
        if self.voice.acknowledged:
            (app.firmware() if self.trying else self.renewal()).confirm(self)
            app.forget("selfupdate", "native")
        elif self.age(self._born) > self.device["trial_s"] * 1000:
            self.restart("this agent reached nobody")

    def _trial(self):
        from ota import trial

        return trial

    def renewal(self):
        """The module that updates the agent itself."""
        from ota import selfupdate

        return selfupdate

    def _restore(self):
        hal.log("no state, floors: counter", self.state["counter"], "seq", self.state["seq"])
        if not slots.stated(self.root):
            return
        from ota import rebuild

        found = rebuild.restore(self)
        app.forget("rebuild", "install", "bundle")
        if found:
            self.restart("the state was lost and found")

    def _check_slot(self):
        active = self.state["active"]
        if not active or slots.startable(self.root, active):
            return
        hal.log("slot", active, "cannot start")
        if self.state["trial"]:
            self._trial().roll_back(self, "import_error", "no main in the slot")
        else:
            state.drop(self.state, active)
            self.save()
        self._check_slot()

    def due(self):
        """What is to be done; the trial of this agent ends before anything new begins."""
        return self.pending and not self.fresh

    def _settle(self):
        if self._unsaved_since is not None and self.age(self._unsaved_since) > _SAVE_AGAIN_MS:
            self.save()
        if self.state["trial"]:
            self._trial().settle(self)
        elif self.state["crashes"] and self.age(self.since) > _STEADY_MS:
            self.state["crashes"] = 0
            self.save()
        # A trial ends first, so that there is always one slot known to be good.
        if self.state["trial"] is None and not self.busy:
            if self.due() or self.renew:
                self.restart("update")
            if self._again and self.age(self._again[0]) > self._again[1]:
                self.restart("another attempt")
