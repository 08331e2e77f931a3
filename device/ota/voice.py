# What the device still has to say, in order: the kept outcome, passing states, a greeting after
# each connect, the log. One thing at a time is under way to the broker; while that is away, all
# of it goes by HTTP now and then.
from micropython import const

from ota import app, hal, state

_SAYINGS = const(4)  # reports kept in RAM while nobody listens
_LOG_PAUSE_MS = const(60000)  # shortest time from one log to the next
_LOG = "log"


class Voice:
    """The reports of one agent."""

    def __init__(self):
        self.told = False  # it was acknowledged that we are on trial
        self.acknowledged = False  # ... any report since the start
        self._greeted = 0
        self.hello = False  # a greeting is due
        self._sayings = []
        self._flight = None  # what is under way to the broker
        self._away = hal.ticks_ms()  # since then no broker, and no attempt by HTTP
        self._log_due = False
        self._logged = None  # ticks of the last log sent

    def say(self, what, reason="", detail="", release=""):
        """Report this when somebody listens; forgotten by a restart."""
        if len(self._sayings) < _SAYINGS:
            self._sayings.append((what, reason, detail, release))

    def silent(self):
        """Whether everything said was acknowledged."""
        return not self._sayings

    def speak(self, agent):
        """Send what is next. True when the outcome in agent.state was acknowledged and removed."""
        link = agent.link
        if link.greeted != self._greeted:
            self._greeted = link.greeted
            self._flight = None
            self.hello = True
        if link.up() and not agent.moved:
            self._away = hal.ticks_ms()
        elif agent.errand is None and agent.age(self._away) >= self._patience_ms(agent):
            self._away = hal.ticks_ms()
            self.hello = self.hello or not link.up()
            from ota import elsewhere

            agent.errand = elsewhere.tell(agent)
        if not link.quiet():
            return False
        flight, self._flight = self._flight, None
        done = flight is not None and self.heard(agent, flight, True)
        if link.asked:
            link.asked = False
            self._log_due = True
        found = self.following(agent)
        if found:
            self._flight = found[0]
            link.publish("report", self.compose(agent, found[1]))
        elif self._log_due and self._may_log(agent):
            from ota import logbook

            self._flight = _LOG
            link.publish("log", logbook.tail(agent.root))
            app.forget("logbook")
        return done

    def following(self, agent, greet=False):
        """The next report: (what it is, its words), or None; with `greet` always one."""
        box = agent.state["outbox"]
        if box:
            return box, (box["state"], box["reason"], box["detail"], box["release"])
        if self._sayings:
            return self._sayings[0], self._sayings[0]
        if not (self.hello or greet):
            return None
        active = agent.state["active"]
        release = agent.state[active]["release"] if active else ""
        what = state.TRIAL if agent.state["trial"] else state.IDLE
        return what, (what, "", "", release)

    def heard(self, agent, flight, line):
        """`flight` was acknowledged, over the line if `line`. Whether it was the kept outcome."""
        self.acknowledged = True
        agent.moved = agent.moved and line
        if flight is agent.state["outbox"]:
            self._log_due = self._log_due or bool(flight["reason"])
            agent.state["outbox"] = None
            # The outcome said everything that a greeting says, and stays the last word.
            self.hello = agent.state["trial"] is not None
            return True
        if self._sayings and flight is self._sayings[0]:
            self._log_due = self._log_due or bool(flight[1])
            self._sayings.pop(0)
        elif flight == _LOG:
            self._log_due = False
            self._logged = hal.ticks_ms()
        elif flight in (state.TRIAL, state.IDLE):
            self.hello = False
            # A new configuration describes the way to the broker, so only the broker counts then.
            if flight == state.TRIAL and (line or not state.reconfigured(agent.state)):
                self.told = True
        return False

    def _may_log(self, agent):
        return not hal.recent(self._logged, _LOG_PAUSE_MS)

    def _patience_ms(self, agent):
        # How long without a broker before HTTP. A trial must not end before somebody was told, and
        # a new way to the service is tried at once.
        wait_s = agent.device["poll_s"]
        if agent.state["trial"] or agent.fresh:
            wait_s = min(wait_s, agent.device["trial_s"] / (8 if agent.moved else 2))
        return wait_s * 1000

    def compose(self, agent, words):
        """The report of `words` as text."""
        from ota import report

        text = report.compose(agent, *words)
        app.forget("report", "chip")
        return text
