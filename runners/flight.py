"""Single flight: of several jobs that must give the same bytes one builds, and the others wait for what it makes."""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(eq=False)
class Flight(Generic[Value]):
    """One key's work. Whoever leads sets `made`, or leaves it None when nothing came of it."""

    made: Value | None = None
    by: str = ""
    before: "Flight[Value] | None" = None  # the last one with this key, for whom it landed a moment ago
    is_over: threading.Event = field(default_factory=threading.Event)


class Flights(Generic[Value]):
    """The work that goes on."""

    def __init__(self, *, remembered: int = 0, is_passing: Callable[[Value], bool] = lambda _: False) -> None:
        """So many that landed are remembered: what they made may not be written down yet where others look.

        What is `passing` is for those who wait, and then forgotten.
        """
        self._is_passing = is_passing
        self._flights: dict[str, Flight[Value]] = {}
        self._landed: collections.OrderedDict[str, Flight[Value]] = collections.OrderedDict()
        self._remembered = remembered
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def board(self, key: str, who: str) -> Iterator[Flight[Value]]:
        """The flight that one is on. `made` is set when another one made it; else one leads, for all before failed."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                leads = flight is None
                if flight is None:
                    flight = self._flights[key] = Flight(by=who, before=self._landed.get(key))
            if leads:
                break
            flight.is_over.wait()
            if flight.made is not None:
                yield flight
                return
        try:
            yield flight
        finally:
            with self._lock:
                del self._flights[key]
                flight.before = None
                if flight.made is not None and self._remembered and not self._is_passing(flight.made):
                    self._landed[key] = flight
                    self._landed.move_to_end(key)
                while len(self._landed) > self._remembered:
                    self._landed.popitem(last=False)
            flight.is_over.set()
