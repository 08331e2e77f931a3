# A start for an order alone, with the whole heap free: newest keys, configuration, release, and
# the one rename that switches to both. No line to the broker, no application. It ends in a
# restart, and the next start tells what came of it. The order waits in a file: ota/leave.py.
from ota import app, hal, slots, state
from ota.board import Board
from ota.reason import RefusedError

# What signed bytes say stays true. Whatever else is wrong may be a lie of the server, of whoever
# stands between, or of a moment, and must not keep the release away for good.
_LASTING = ("wrong_board", "wrong_repository", "downgrade", "bad_path", "bad_config")


def run(root, loaded):
    """Follow the order that waits in `root`; does not return."""
    import ota

    # No application calls these now: 2 KB for the release.
    for name in ("tick", "call", "sleep_ms", "task", "healthy", "unhealthy", "busy", "deepsleep"):
        delattr(ota, name)
    del ota
    try:
        board = Alone(root, loaded)
    except Exception:
        from ota import leave

        leave.clear(root)  # without an identity, or on a full flash, nobody ever follows it
        raise
    board.work()


class Alone(Board):
    """A board without a line to the broker."""

    def __init__(self, root, loaded):
        super().__init__(root, loaded)
        self.voice = self
        self.order, self.failures = self._take_order()

    def say(self, what, reason="", detail="", release=""):
        """As ota.voice.Voice, for the next start to tell."""
        from ota import moves

        moves.post(self.state, what, reason, detail, release)
        self.save()

    def postpone(self, _seq):
        """As ota.agent.Agent, for the next start to wait."""
        self.state["tries"] += 1
        self.save()

    def work(self):
        """Follow the order, and restart."""
        if not self.intact and slots.stated(self.root):
            # It would be taken for an empty board, and the slot that runs be written. The next
            # start finds the state in the slots, and hears the order again.
            self.restart("the state was lost")
        raw, why = self.order, None
        if self.state["trial"] is None:
            self._join()
            try:
                if raw:
                    why = self._follow(raw)
                else:
                    self.renewal().update(self)
                    self._failed(raw, 1)
            except RefusedError as e:
                hal.log("not now:", e.reason, e.detail)
                self.postpone(0)
                self._failed(raw, self.failures)
        self.restart(why or "back to the application")

    def restart(self, why):
        """Restart the board; no order waits any more."""
        trial = self.state["trial"]
        if trial and trial["back"] != self.state["active"]:
            from ota import done

            done.followed(self.root, self.state["day"])
        from ota import leave

        leave.clear(self.root)
        super().restart(why)

    def _join(self):
        from ota import wifi

        wifi.join(self.settings)
        start = hal.ticks_ms()
        while not wifi.online() and self.age(start) < self.device["connect_s"] * 1000:
            hal.sleep_ms(100)
        app.forget("wifi")
        self.settings = None  # nobody reads them in this start

    def _take_order(self):
        from ota import leave

        try:
            return leave.take(self.root)
        finally:
            app.forget("leave")

    def _failed(self, raw, failures):
        from ota import leave

        leave.mark(self.root, raw, failures)

    def _follow(self, raw):
        # No name here may hold a module: this is on the stack while the release is fetched.
        desired = self._judge(raw)
        if desired is None:
            return None
        hal.log("update to", desired["release"][:12], "seq", desired["seq"])
        try:
            same, config = self._prepare(desired)
            record = None if same else self._fetch(desired)
            hal.log(state.STAGED)
            self._switch(record, config, desired)
            return "trial of " + (record["version"] if record else "a configuration")
        except RefusedError as e:
            hal.log("refused:", e.reason, e.detail)
            if e.reason not in _LASTING:
                self.say(state.REFUSED, e.reason, e.detail, desired["release"])
                raise
            self._refuse(desired, e)
            return None

    def _judge(self, raw):
        from ota import prepare

        try:
            return prepare.judge(self, raw)
        finally:
            app.forget("upkeep")

    def _prepare(self, desired):
        from ota import prepare

        try:
            return prepare.want(self, desired), prepare.configure(self, desired)
        finally:
            app.forget("prepare", "upkeep", "wants", "moves")
            app.forget("configuration", "config", "poll", "http", "net")

    def _refuse(self, desired, error):
        from ota import moves

        moves.refuse(self.state, desired, error.reason, error.detail)
        self.save()
        self.keep_log()

    def _fetch(self, desired):
        from ota import update

        try:
            return update.fetch(desired, self, self.turn)
        finally:
            app.forget("update", "download", "http", "net", "install", "bundle", "pack", "patch")

    def _switch(self, record, config, desired):
        changed = dict(self.state)
        if config:
            # Not before: what was never tried must not stand in for a configuration that is lost.
            changed["configs"] = dict(changed["configs"])
            changed["configs"][config] = desired["config"]
        from ota import moves

        moves.begin_trial(changed, record, config)
        try:
            state.save(self.root + "/kiln", changed)
        except OSError as e:
            raise RefusedError("no_space", "the switch could not be written: " + repr(e)) from None
        self.state = changed
