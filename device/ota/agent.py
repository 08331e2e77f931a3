# The agent's life: at a start, before the application, look for another release with the whole
# heap free; then run the application and keep the line to the broker alive from its loop.
from micropython import const

import ota
from ota import app, hal, slots, state
from ota.board import POLL_MS, Board
from ota.reason import RefusedError

_SAVE_AGAIN_MS = const(10000)
_AGAIN_LIMIT_S = const(21600)
_STEADY_MS = const(600000)  # a crash after running this long is the first in a row


class Agent(Board):
    """A board with its line to the broker, and the application that runs."""

    def __init__(self, root="", loaded=None):
        super().__init__(root, loaded)
        from ota import link, voice

        self.link = link.Link(self.device)
        self.voice = voice.Voice()
        self.fresh = bool(loaded and loaded["trial"])  # this agent, or firmware, is on trial
        self.trying = False  # this firmware is on trial
        self.renew = False  # another agent, or firmware, is to be taken
        self._again = None  # ticks of an attempt that failed for now, and the pause in ms
        self.busy = False
        self.short = False  # of heap for an order
        self.well = False  # the application called itself healthy
        self.ticked = False  # the application has come as far as its loop
        self.since = None  # ticks of the application's start
        self.dog = None  # the watchdog of a trial
        self.wakes = 0  # from deep sleep since orders were looked for
        self.resting = False  # a wake that is not for looking: no network
        self._born = hal.ticks_ms()

    def run(self):
        """Start the board; does not return, a board always ends in a restart."""
        self.boot()
        active = self.state["active"]
        record = self.state[active]
        hal.log("start", record["version"], "slot", active, "trial" if self.state["trial"] else "")
        self.since = hal.ticks_ms()
        if self.state["trial"]:
            self.trial().arm(self)
            app.forget("trial", "moves")
        try:
            app.start(slots.path(self.root, active))
            hal.log("the application ended, the agent stays")
            while True:
                ota.tick()  # threads of it may go on
                hal.sleep_ms(POLL_MS)
        except SystemExit:
            if self.restarting:
                raise
            ota.call(True, self.restart, "exit of the application")
        except Exception as error:
            ota.call(True, self._crashed, error)

    def _crashed(self, error):
        app.stop()  # it may have been the want of memory
        self.trial().crashed(self, error)

    def boot(self):
        """Everything before the application: count a trial start, or look for an update.

        Returns with a slot to start. An empty board stays here until its first release.
        """
        from ota import start

        start.boot(self)
        app.forget("start", "moves")
        if not self.resting and self.state["trial"] is None:
            from ota import follow

            follow.look(self)
            app.forget("follow")

    def postpone(self, seq, counted=False):
        """The order `seq` failed for now: go on, and try again later, much later if uncounted."""
        self.skip = seq
        if not counted:
            self.state["tries"] += 1
            counted = self.save()
        pause_s = self.device["again_s"] * 2 ** max(min(self.state["tries"] - 1, 10), 0)
        pause_s = min(pause_s, _AGAIN_LIMIT_S) if counted else _AGAIN_LIMIT_S
        self._again = hal.ticks_ms(), int(pause_s * (500 + hal.jitter(500)))

    def leave(self):
        """Start anew for what is due, or say why not."""
        from ota import follow

        follow.leave(self)
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

    def unhealthy(self, why):
        self.trial().unhealthy(self, why)

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
            self.word = raw
        # An errand ends first, where one is moved on: few heaps hold both.
        if self.word is not None and (self.errand is None or not errands):
            raw, self.word = self.word, None
            self.hear(raw)
        if self.voice.speak(self):
            self.save()
        if self.fresh:
            self._prove()
        if self.errand is not None and errands:
            self._step()
        elif errands and (self.unknown or self.clock.due(self.link.up())):
            self._begin()

    def _begin(self):
        # Not beside a trial: there may be no heap for both. And newer keys may begin a new epoch,
        # whose floor the winner of a trial must not raise to the counter of the old one.
        if self.state["trial"] is None:
            from ota import upkeep

            self.errand = upkeep.begin(self)

    def hear(self, raw, last=False):
        """Judge a desired state. Want of heap is no failure of the application beside it."""
        try:
            super().hear(raw, last)
            return
        except MemoryError:
            hal.log("no heap to judge an order")
        if self._give_up():
            self.heard = b""
            self.hear(raw, last)
        elif self.since is None:
            self.voice.say(state.REFUSED, "download_failed", "out of memory")
        else:
            self.short = True  # it is judged before the application, after the trial

    def _give_up(self):
        # Whether there was an errand to give up for the sake of an order; it comes again.
        app.forget("orders", "notice", "wants", "moves", "field")
        errand, self.errand = self.errand, None
        if errand is None:
            return False
        try:
            errand.close()
        except ValueError:  # it is the errand that heard of this
            self.errand = errand
            return False
        app.forget("upkeep", "poll", "http", "net")
        return True

    def until(self, done, limit_ms, errands=True):
        """Turn until done() is true, at most `limit_ms`. Whether it became true."""
        start = hal.ticks_ms()
        while self.age(start) < limit_ms:
            self.turn(errands)
            if self.dog:
                self.dog.feed()
            if done():
                return True
            hal.sleep_ms(POLL_MS)
        return False

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
        if not self.loaded or self.fresh or not self.state["config"]:
            return False
        from ota import newer

        app.forget("newer")
        return newer.due(self) is not None

    def trial(self):
        """The module that a trial and a crash are the matter of."""
        from ota import trial

        return trial

    def _prove(self):
        if self.voice.acknowledged:
            (app.firmware() if self.trying else self.renewal()).confirm(self)
            app.forget("selfupdate", "newer", "native", "moves")
        elif self.age(self._born) > self.device["trial_s"] * 1000:
            if not self.trying:
                self.renewal().lonely(self)
            self.restart("this agent reached nobody")

    def due(self):
        """What is to be done; the trial of this agent ends before anything new begins."""
        return self.pending and not self.fresh

    def _settle_trial(self):
        # Won if the application said so, or ran long enough and the broker knows. Of a new
        # configuration the broker always has to know, for it describes the way to the broker; and
        # the service, where the way there is another.
        ran_ms = -1 if self.since is None else self.age(self.since)
        works = self.well or ran_ms >= self.device["confirm_after_s"] * 1000
        alone = self.well and not state.reconfigured(self.state)
        if works and (alone or (self.voice.told and not self.moved)):
            if self.errand is not None:
                return  # heap for it is there when that is done
            self.trial().won(self)
            app.forget("trial", "moves")
        elif ran_ms > self.device["trial_s"] * 1000:
            self.restart("no confirmation yet")  # which counts as a start

    def _settle(self):
        if self.unsaved_since is not None and self.age(self.unsaved_since) > _SAVE_AGAIN_MS:
            self.save()
        if self.state["trial"]:
            self._settle_trial()
        elif self.state["crashes"] and self.age(self.since) > _STEADY_MS:
            self.state["crashes"] = 0
            self.save()
        # A trial ends first, so that there is always one slot known to be good.
        if self.state["trial"] is None and not self.busy:
            if self.due() or self.renew:
                self.leave()
            if self.short:
                self.restart("heap for an order")
            if self._again and self.age(self._again[0]) > self._again[1]:
                self.restart("another attempt")
