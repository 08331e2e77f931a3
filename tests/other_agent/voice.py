"""How a device speaks of itself: reports and log, by the broker, or by HTTP where that is away."""

import collections
import time
from typing import Any

from tests.other_agent.line import Line
from tests.other_agent.reports import report
from tests.other_agent.store import Store
from tests.other_agent.updating import Updating
from tests.other_agent.web import post

MINUTE_S, LOG_BYTES = 60.0, 1024


class Voice:
    """One start's. `proved` says by which ways a report `trial` of this start was acknowledged."""

    def __init__(self, store: Store, line: Line, updating: Updating, lines: collections.deque[str]) -> None:
        self._store, self._line, self._updating, self._lines = store, line, updating, lines
        self._begun = time.monotonic()
        self._log_said_at = self._begun - MINUTE_S
        self.proved = {"mqtt": False, "http": False}

    def answer(self) -> None:
        """Somebody asks for the log: at most once a minute."""
        if time.monotonic() - self._log_said_at >= MINUTE_S:
            self.say_log()

    def say_log(self) -> None:
        self._log_said_at = time.monotonic()
        self._line.publish("log", "\n".join(self._lines).encode("ascii", "replace")[-LOG_BYTES:])

    def greet(self) -> None:
        """Say what is to be said after connecting: an outcome that nobody heard, or how it is."""
        state = self._store.state
        if state.outcome:
            self.tell_outcome()
        else:
            self.tell("idle" if state.before is None else "trial", release=state.running.release)

    def tell_outcome(self) -> None:
        outcome = self._store.state.outcome
        if outcome and self.tell(**outcome):
            self._store.state.outcome = None
            self._store.save()
            if outcome["state"] == "rolled_back":
                self.say_log()

    def tell(self, state: str, reason: str = "", detail: str = "", release: str = "") -> bool:
        """Report by the broker, or by HTTP where it is away; True when it was acknowledged."""
        said: dict[str, Any] = {"state": state, "reason": reason, "detail": detail, "release": release}
        raw = report(self._store, **said, stale=self._is_stale())
        way = "mqtt" if self._line.publish("report", raw) else "http"
        heard = way == "mqtt" or self._post(raw)
        if state == "trial":
            self.proved[way] = self.proved[way] or heard
        return heard

    def prove_http(self) -> None:
        """Say over HTTP, too, that this start is on trial."""
        raw = report(
            self._store,
            state="trial",
            reason="",
            detail="",
            release=self._store.state.running.release,
            stale=self._is_stale(),
        )
        self.proved["http"] = self._post(raw)

    def _post(self, raw: bytes) -> bool:
        way = self._updating.way
        return post(way, f"/ota/v1/devices/{way.device}/report", raw)

    def _is_stale(self) -> bool:
        expires, age = self._store.trust.expires, self._updating.signed_time_age_s()
        silent = time.monotonic() - self._begun if age is None else age
        return silent > self._updating.stale_s or 0 < expires < self._updating.now()
