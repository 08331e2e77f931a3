"""An agent of another make, written from docs/ota.md alone: the second implementation that holds it to its word.

    python -m tests.other_agent FOLDER [--packs /2]

FOLDER is the flash of one device: `kiln/device.json` and `kiln/trust.json` in it, as enrolment wrote them. It runs
on CPython, takes releases for the board `unix`, and runs their main.py. It takes no releases of agents and no
native images, for those are programs of the agent that Kiln carries.
"""

import collections
import contextlib
import time
from typing import Any

from tests.other_agent.line import Line
from tests.other_agent.program import Program
from tests.other_agent.store import Store
from tests.other_agent.trust import RefusedError
from tests.other_agent.updating import SIGNED_REFUSALS, LaterError, Updating, Waiting
from tests.other_agent.voice import Voice
from tests.other_agent.web import NetworkError, Way, get
from tests.other_agent.words import Configuration, Order

DEFAULTS = {
    "boots": 3, "trial_s": 600, "confirm_after_s": 30, "connect_s": 15, "poll_s": 900, "stale_s": 691200,
    "installs_day": 24, "again_s": 300, "crash_pause_s": 5,
}  # fmt: skip
DAY_S, AGAIN_MOST_S = 86400.0, 21600.0
STEP_S = 0.05


class Device:
    """One start of the device, until it ends or has something else to start."""

    def __init__(self, store: Store, packs: tuple[str, ...]) -> None:
        self.store = store
        self.lines: collections.deque[str] = collections.deque(["-- start"], maxlen=60)
        self.begun = time.monotonic()
        self._count_start()
        with_config = self._configuration()
        self.device: dict[str, Any] = DEFAULTS | store.enrolled | with_config.device
        self.way = Way.of(self.device)
        self.updating = Updating(store, self.way, packs, self.log, stale_s=self.device["stale_s"])
        self.settings = with_config.settings
        self.program: Program | None = None
        self.waiting: Waiting | None = None
        self._heard = b""  # what was judged last: a repetition costs nothing
        self.over = False  # something else is to start
        self._polled_at = self.begun
        self._crashed_at: float | None = None
        self._errands_at = 0.0

    # Starting

    def _count_start(self) -> None:
        state = self.store.state
        if state.before is None:
            return
        if state.boots >= self.store.enrolled.get("boots", DEFAULTS["boots"]):
            self.log("rolled back: no_confirm")
            self.store.roll_back("no_confirm", f"{state.boots} starts")
        else:
            state.boots += 1
            self.store.save()

    def _configuration(self) -> Configuration:
        try:
            return self.store.configuration(self.store.state.running.config)
        except RefusedError as lost:
            self.log(f"configuration: {lost}")
            self.store.state.running.config = ""
            self.store.save()
            return self.store.configuration("")

    def live(self) -> None:
        """Run until something else is to start."""
        self._start_program()
        self.line = Line(self.device)
        self.voice = Voice(self.store, self.line, self.updating, self.lines)
        try:
            if not self.line.wait(self.device["connect_s"]):
                self._poll()
            while not self.over:
                self._step()
                time.sleep(STEP_S)
        finally:
            self.line.close()
            if self.program:
                self.program.stop()

    def _start_program(self) -> None:
        running = self.store.state.running
        if running.release:
            folder = self.store.folder / running.slot / "files"
            self.program = Program(folder, self.store.folder / "mark", self.settings)

    def _step(self) -> None:
        if self.line.connected_again:
            self.line.connected_again, self._heard = False, b""
            self.voice.greet()
        self._errands()
        self._look_at_program()
        if self.store.state.before is not None and not self.over:
            self._look_at_trial()
        if not self.line.heard.empty() and not self.over:
            kind, payload = self.line.heard.get()
            if kind == "ask" and payload == b"log":
                self.voice.answer()
            elif kind == "desired" and payload:
                self.hear(payload)
        if self.waiting and time.monotonic() >= self.waiting.at and not self.over:
            self._follow(self.waiting)
        lost_at = self.line.lost_at
        if lost_at is not None and time.monotonic() - max(lost_at, self._polled_at) > self._poll_s() and not self.over:
            self._poll()

    def _poll_s(self) -> float:
        if self.store.state.before is None:
            return float(self.device["poll_s"])
        return min(float(self.device["poll_s"]), float(self.device["trial_s"]) / (8 if self._way_changed() else 2))

    def _poll(self) -> None:
        """The broker is away: say over HTTP how it is, and ask for orders."""
        self._polled_at, self._heard = time.monotonic(), b""
        self.voice.greet()
        try:
            jws = get(self.way, f"/ota/v1/devices/{self.way.device}/desired", 1024)
        except (NetworkError, RefusedError) as fault:
            self.log(f"no order over HTTP: {fault}")
        else:
            if jws:
                self.hear(jws)

    def _errands(self) -> None:
        """Ask for keys and the time, at the start and once a day."""
        if time.monotonic() < self._errands_at:
            return
        self._errands_at = time.monotonic() + DAY_S
        try:
            self.updating.walk_roots()
            newest = self.updating.take_time()
        except RefusedError as refused:
            self._errands_at = time.monotonic() + self.device["again_s"]
            self.log(str(refused))
            if refused.reason != "download_failed":
                self.voice.tell("refused", refused.reason, refused.detail)
            return
        waiting = self.waiting.seq if self.waiting else 0
        if newest > max(self.store.state.floors.seq, waiting):  # somebody may hold an order back
            self._poll()

    def log(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    # The application and its trial

    def _look_at_program(self) -> None:
        fault = self.program.fault() if self.program else None
        if fault is None or self.program is None:
            return
        now = time.monotonic()
        if self.store.state.before is not None:
            self._roll_back(*fault)
        elif self._crashed_at is None:
            self._crashed_at = now
            self.log(f"crashed: {fault[1]}")
            self.voice.tell("idle", "crashed", fault[1], self.store.state.running.release)
            self.voice.say_log()
        elif now - self._crashed_at > self.device["crash_pause_s"]:
            self._crashed_at = None
            self._start_program()

    def _look_at_trial(self) -> None:
        spent = time.monotonic() - self.begun
        if spent > self.device["trial_s"]:
            self.over = True
        elif spent > self.device["confirm_after_s"] and self._is_proved():
            statement = self.store.statement()
            self.store.confirm(statement.counter if statement else 0)
            self.log("confirmed")
            self.voice.tell_outcome()
        elif not any(self.voice.proved.values()) and self.line.lost_at is None:
            self.voice.greet()

    def _is_proved(self) -> bool:
        """Say whether the service heard of this trial, over the lines that it describes."""
        before, running = self.store.state.before, self.store.state.running
        if before is None or before.config == running.config:
            return any(self.voice.proved.values())
        if self._way_changed() and self.voice.proved["mqtt"] and not self.voice.proved["http"]:
            self.voice.prove_http()
        return self.voice.proved["mqtt"] and (self.voice.proved["http"] or not self._way_changed())

    def _way_changed(self) -> bool:
        before = self.store.state.before
        if before is None:
            return False
        with contextlib.suppress(RefusedError):
            older = self.store.enrolled | self.store.configuration(before.config).device
            return any(older.get(name) != self.device.get(name) for name in ("token", "base", "recovery", "tls"))
        return True

    def _roll_back(self, reason: str, detail: str) -> None:
        if self.program:
            self.lines.extend(self.program.lines())
        self.log(f"rolled back: {reason}")
        self.store.roll_back(reason, detail)
        self.over = True

    # Orders

    def hear(self, jws: bytes) -> None:
        """Judge an order that came from anywhere."""
        if jws in (self._heard, self.waiting.jws if self.waiting else b""):
            return
        self._heard = jws
        try:
            order = self.updating.judge(jws, self.waiting.seq if self.waiting else 0)
        except RefusedError as refused:
            self._refuse(refused, "")
        except LaterError as later:
            if self.waiting is None or not self.waiting.seq:
                self.waiting = Waiting(jws, 0, time.monotonic() + later.seconds)
        else:
            if self._is_to_do(order):
                self.waiting = Waiting(jws, order.seq, time.monotonic())

    def _is_to_do(self, order: Order) -> bool:
        """Say whether it asks for anything. A newer one for what runs is accepted, and answered."""
        state = self.store.state
        if order.seq == state.floors.seq == state.floors.settled:
            return False
        if not self.updating.is_in_force(order):
            return True
        if order.seq > state.floors.seq:
            self.updating.accept(order)
            if state.before is None:
                state.outcome = {"state": "confirmed", "release": order.release}
                self.store.save()
                self.voice.tell_outcome()
        return False

    def _follow(self, waiting: Waiting) -> None:
        if self.store.state.before is not None:
            return  # the other slot is the way back: the order waits for the end of the trial
        try:
            order = self._judge_again(waiting)
        except RefusedError as refused:
            self.waiting = None
            self._refuse(refused, "")
            return
        except LaterError as later:
            waiting.at = time.monotonic() + later.seconds
            return
        if not self._is_to_do(order):
            self.waiting = None
            return
        self.updating.accept(order)
        waiting.seq = order.seq
        self.voice.tell("downloading", release=order.release)
        try:
            self.updating.fetch(order)
        except RefusedError as refused:
            self._give_up(refused, order, waiting)
        else:
            self.over = True

    def _judge_again(self, waiting: Waiting) -> Order:
        """Judge by the newest keys and, where somebody says it, the time."""
        self.updating.walk_roots()
        if not self.updating.knows_time:
            try:
                self.updating.take_time()
            except RefusedError as refused:
                self.log(f"no time: {refused}")
        order = self.updating.judge(waiting.jws)
        if order.seq > self.store.state.floors.seq and not self.updating.is_in_force(order):
            self.updating.count_install(self.device["installs_day"])
        return order

    def _give_up(self, refused: RefusedError, order: Order, waiting: Waiting) -> None:
        """Never again where signed bytes are the reason, else until another attempt."""
        if refused.reason in SIGNED_REFUSALS:
            self.waiting = None
            self.store.settle(order.seq, refused.reason, refused.detail, order.release)
            self.voice.tell_outcome()
            self.voice.say_log()
            return
        waiting.at = time.monotonic() + min(self.device["again_s"] * 2**waiting.failures, AGAIN_MOST_S)
        waiting.failures += 1
        self._refuse(refused, order.release)

    def _refuse(self, refused: RefusedError, release: str) -> None:
        self.log(f"refused: {refused}")
        self.voice.tell("refused", refused.reason, refused.detail, release)
        self.voice.say_log()
