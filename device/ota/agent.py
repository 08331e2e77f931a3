# The agent's life: at a start, before the application, look for another release with the whole
# heap free; then run the application and keep the line to the broker alive from its loop.
import gc
import hashlib

from micropython import const

from ota import app, hal, link, slots, state, voice
from ota.reason import RefusedError

_POLL_MS = const(20)
_ANNOUNCE_MS = const(2000)  # longest wait for the acknowledgement of a passing state
_RETRY_S = const(5)  # an empty board's pause after a failed download, doubled each time
_PAUSE_LIMIT_S = const(300)
_STEADY_MS = const(600000)  # a crash after running this long is the first in a row
_SAVE_AGAIN_MS = const(10000)


class Agent:
    """One device. `root` is the folder that holds /kiln, /a and /b: "" on a board."""

    def __init__(self, root=""):
        from ota import config

        self.root = root
        self.device = config.device(root)
        self.settings = config.settings(root)
        app.forget("config")
        self.state, intact = state.load(root + "/kiln")
        self.link = link.Link(self.device)
        self.busy = False
        self._pending = None  # a desired state to act on
        self._heard = b""  # digest of the last message, so that a repetition costs nothing
        self._skip = 0  # seq whose download failed since this start
        self._voice = voice.Voice()
        self._well = False
        self._ticked = False  # the application has come as far as its loop
        self._since = None  # ticks of the application's start
        self._restarting = False
        self._unsaved_since = None
        if not intact:
            hal.log("no state, floors: counter", self.state["counter"], "seq", self.state["seq"])

    def run(self):
        """Start the board; does not return, a board always ends in a restart."""
        self.boot()
        active = self.state["active"]
        record = self.state[active]
        hal.log("start", record["version"], "slot", active, "trial" if self.state["trial"] else "")
        self._since = hal.ticks_ms()
        try:
            app.start(slots.path(self.root, active))
            hal.log("the application ended, the agent stays")
            while True:
                self.tick()
                hal.sleep_ms(_POLL_MS)
        except SystemExit:
            if self._restarting:
                raise
            self.restart("exit of the application")
        except Exception as error:
            self._crashed(app.explain(error, slots.path(self.root, active)))

    def boot(self):
        """Everything before the application: count a trial start, or look for an update.

        Returns with a slot to start. An empty board stays here until its first release.
        """
        if self.state["trial"]:
            if not state.count_boot(self.state, self.device["boots"]):
                self._roll_back("no_confirm", "%d starts" % self.device["boots"])
            # Before the application runs: a start that kills the board must have been counted.
            elif not self._save() and self.state["trial"]:
                self._roll_back("no_confirm", "the start could not be counted")
        self._check_slot()
        hal.join_network(self.settings)
        if self.state["trial"] is None:
            self._look()

    def tick(self):
        """One turn of the agent while the application runs; returns at once."""
        self._ticked = True
        if self._restarting:  # the application caught our SystemExit
            hal.reset()
        self._turn()
        self._settle()

    def healthy(self):
        self._well = True
        self.tick()

    def unhealthy(self, why):
        if self.state["trial"]:
            self._roll_back("unhealthy", why)
            self.restart("unhealthy")
        self._voice.say(state.IDLE, "unhealthy", why)

    def restart(self, why):
        """Leave the broker in an orderly way and restart the board; does not return."""
        hal.log("restart:", why)
        self._restarting = True
        self.link.close()
        hal.reset()

    def _check_slot(self):
        active = self.state["active"]
        if not active or slots.startable(self.root, active):
            return
        hal.log("slot", active, "cannot start")
        if self.state["trial"]:
            self._roll_back("import_error", "no main in the slot")
        else:
            state.drop(self.state, active)
            self._save()
        self._check_slot()

    def _look(self):
        if self._until(self.link.up, self.device["connect_s"] * 1000):
            self._until(lambda: self._heard, self.device["desired_s"] * 1000)
        pause = _RETRY_S
        while self._pending or not self.state["active"]:
            if not self._until(lambda: self._pending, 1000):
                continue
            desired = self._pending
            if self._update(desired) or self.state["active"]:
                continue
            # Nothing to start: the same order is tried again, later and later.
            self._until(lambda: self._pending, (pause + hal.jitter(pause)) * 1000)
            pause = min(pause * 2, _PAUSE_LIMIT_S)
            self._pending = self._pending or desired

    def _update(self, desired):
        # False: the download failed and may be tried again. True: refused. A success restarts.
        self._pending = None
        state.want(self.state, desired)
        self.state[state.other(self.state["active"])] = None
        self._save()
        hal.log("update to", desired["release"][:12], "seq", desired["seq"])
        self._announce(state.DOWNLOADING, desired)
        try:
            record = self._fetch(desired)
            self._announce(state.STAGED, desired)
            self._switch(record)
        except RefusedError as e:
            hal.log("refused:", e.reason, e.detail)
            if e.reason == "download_failed":
                self._skip = desired["seq"]
                self._voice.say(state.REFUSED, e.reason, e.detail, desired["release"])
                return False
            state.refuse(self.state, desired, e.reason, e.detail)
            self._save()
            return True
        self.restart("trial of " + record["version"])
        return True

    def _fetch(self, desired):
        from ota import update

        try:
            return update.fetch(desired, self, self._turn)
        finally:
            app.forget("update", "download", "install", "bundle")

    def _switch(self, record):
        changed = dict(self.state)
        state.begin_trial(changed, record)
        try:
            state.save(self.root + "/kiln", changed)
        except OSError as e:
            raise RefusedError("no_space", "the switch could not be written: " + repr(e)) from None
        self.state = changed

    def _turn(self):
        raw = self.link.poll()
        if raw is not None:
            self._hear(raw)
        if self._voice.speak(self):
            self._save()

    def _hear(self, raw):
        mark = hashlib.sha256(raw).digest()
        if mark == self._heard:
            return
        self._heard = mark
        try:
            self._judge(raw)
        except RefusedError as e:
            # Not kept in flash: whoever can reach the topic could wear it out.
            hal.log("desired state refused:", e.reason, e.detail)
            self._voice.say(state.REFUSED, e.reason, e.detail)
        app.forget("notice", "verify", "field", "trust")

    def _judge(self, raw):
        from ota import notice, trust

        if not raw:
            raise RefusedError("too_large", "desired state")
        gc.collect()  # as in update.py: room for the signature's numbers
        desired = notice.parse(raw, trust.keys(self.root, "director"))
        verdict = notice.judge(desired, self.device["id"], self.state, hal.now())
        if verdict == notice.NOTE:
            state.note(self.state, desired)
            self._save()
        elif verdict == notice.INSTALL and desired["seq"] != self._skip:
            self._pending = desired

    def _settle(self):
        if self._unsaved_since is not None and self._age(self._unsaved_since) > _SAVE_AGAIN_MS:
            self._save()
        if self.state["trial"]:
            ran = self._since is not None and self._age(self._since)
            if self._well or (self._voice.told and ran >= self.device["confirm_after_s"] * 1000):
                state.confirm(self.state)
                self._save()
                hal.log("confirmed", self.state[self.state["active"]]["version"])
        # A trial ends first, so that there is always one slot known to be good.
        elif self._pending and not self.busy:
            self.restart("update")

    def _roll_back(self, reason, detail):
        hal.log("roll back:", reason, detail)
        state.roll_back(self.state, reason, detail)
        self._save()

    def _crashed(self, detail):
        if self.state["trial"]:
            self._roll_back("crashed" if self._ticked else "import_error", detail)
            self.restart("rolled back")
        if self._age(self._since) > _STEADY_MS:
            self.state["crashes"] = 0
        self.state["crashes"] += 1
        self._save()
        self._voice.say(state.IDLE, "crashed", detail)
        doubled = self.device["crash_pause_s"] * 2 ** min(self.state["crashes"] - 1, 6)
        pause = min(doubled, _PAUSE_LIMIT_S)
        hal.log("the application crashed, next start in", pause, "s")
        self._until(lambda: self._pending, pause * 1000)
        self.restart("crash")

    def _announce(self, what, desired):
        hal.log(what)
        self._voice.say(what, "", "", desired["release"])
        if self.link.up():
            self._until(self._voice.silent, _ANNOUNCE_MS)

    def _until(self, done, limit_ms):
        start = hal.ticks_ms()
        while self._age(start) < limit_ms:
            self._turn()
            if done():
                return True
            hal.sleep_ms(_POLL_MS)
        return False

    def _save(self):
        # A full flash must not stop an application that runs: tick() tries again.
        try:
            state.save(self.root + "/kiln", self.state)
        except OSError as e:
            hal.log("state not saved:", repr(e))
            self._unsaved_since = hal.ticks_ms()
            return False
        self._unsaved_since = None
        return True

    def _age(self, start):
        return hal.ticks_diff(hal.ticks_ms(), start)
