# What the device still has to say to the broker, in order: the kept outcome, passing states, a
# greeting after each connect. One report at a time is under way.
from micropython import const

from ota import app, state

_SAYINGS = const(4)  # reports kept in RAM while there is no broker


class Voice:
    """The reports of one agent."""

    def __init__(self):
        self.told = False  # the broker acknowledged that we are on trial
        self.acknowledged = False  # ... any report since the start
        self._greeted = 0
        self._hello = False
        self._sayings = []
        self._flight = None  # what the report not yet acknowledged was

    def say(self, what, reason="", detail="", release=""):
        """Report this when there is a broker; forgotten by a restart."""
        if len(self._sayings) < _SAYINGS:
            self._sayings.append((what, reason, detail, release))

    def silent(self):
        """Whether everything said was acknowledged."""
        return not self._sayings

    def speak(self, agent):
        """Send what is next. True when the outcome in agent.state was acknowledged and removed."""
        if agent.link.greeted != self._greeted:
            self._greeted = agent.link.greeted
            self._flight = None
            self._hello = True
        if not agent.link.quiet():
            return False
        done = self._flight is not None and self._acknowledged(agent)
        box = agent.state["outbox"]
        if box:
            self._send(agent, box, (box["state"], box["reason"], box["detail"], box["release"]))
        elif self._sayings:
            self._send(agent, self._sayings[0], self._sayings[0])
        elif self._hello:
            active = agent.state["active"]
            release = agent.state[active]["release"] if active else ""
            what = state.TRIAL if agent.state["trial"] else state.IDLE
            self._send(agent, what, (what, "", "", release))
        return done

    def _send(self, agent, flight, words):
        from ota import report

        self._flight = flight
        text = report.compose(agent, *words)
        app.forget("report")
        agent.link.publish("report", text)

    def _acknowledged(self, agent):
        flight, self._flight = self._flight, None
        self.acknowledged = True
        if flight is agent.state["outbox"]:
            agent.state["outbox"] = None
            # The outcome said everything that a greeting says, and stays the last word.
            self._hello = agent.state["trial"] is not None
            return True
        if self._sayings and flight is self._sayings[0]:
            self._sayings.pop(0)
        elif flight in (state.TRIAL, state.IDLE):
            self._hello = False
            self.told = flight == state.TRIAL
        return False
