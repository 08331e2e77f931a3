"""A bell: whoever changed something rings it, whoever has work of that kind hears it."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bell:
    _listeners: list[Callable[[], None]] = field(default_factory=list)

    def listen(self, act: Callable[[], None]) -> None:
        self._listeners.append(act)

    def ring(self) -> None:
        for each in self._listeners:
            each()
