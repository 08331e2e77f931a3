"""Roll-outs, wired with the parts of one Kiln."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from service.adapters.device_cipher import encrypt
from service.declared import Declared, obstacle
from service.domain.device import Device, DeviceId, Report
from service.domain.release import Release
from service.flows import configure, lead_back, settle, understand
from service.flows.rollout_parts import Ordered, Parts
from service.kiln import Kiln

# Threads; a signature is most of what an order costs, and lets others work meanwhile. For the first devices somebody
# waits, and those that heard begin to update at once: more threads get more of the processors then. Later ones are
# signed for by fewer: with all of the processors at it, whoever else came would wait.
HASTY, CALM = 4, max(1, (os.cpu_count() or 2) // 2)
FIRST = 1000  # orders that are signed in haste
QUIET_S = 5.0  # without an order: then those that come are first ones


def parts(kiln: Kiln) -> Parts:
    """What roll-outs need."""
    declared = Declared(kiln)
    return Parts(
        builds=kiln.builds,
        channels=kiln.channels,
        fleet=kiln.fleet,
        rollouts=kiln.rollouts,
        crowd=kiln.crowd,
        keys=kiln.keys,
        clock=kiln.clock,
        obstacle=obstacle(kiln, declared),
        understand=understanding(kiln, declared),
        each=_SIGNERS.each,
        announced=kiln.told.ring,
        stirred=kiln.stirred.ring,
        alone=_ALONE,
        call_back=lead_back.call_back,
    )


def between_turns() -> AbstractContextManager[object]:
    """While this is held no roll-out has its turn: none orders what is being signed anew, or signs by an older key."""
    return _ALONE


def understanding(kiln: Kiln, declared: Declared) -> Callable[[Device, Release], Device]:
    parts = settings_parts(kiln, declared, again=lambda _name: None)  # it is being looked at
    return understand.Understanding(parts=parts, declared=declared.by, in_use=declared.in_use).of


def settings_parts(kiln: Kiln, declared: Declared, *, again: Callable[[DeviceId], object]) -> configure.Parts:
    """What changing settings needs; `again` looks at a device that was held."""
    return configure.Parts(
        builds=kiln.builds,
        fleet=kiln.fleet,
        configurations=kiln.sealed.configurations,
        keys=kiln.keys,
        clock=kiln.clock,
        encrypt=encrypt,
        schema=declared.for_device,
        shared=kiln.sealed.shared,
        again=again,
    )


def settled(kiln: Kiln, name: DeviceId) -> bool:
    """What a device shall run now (`flows.settle`)."""
    return settle.settle(name, parts(kiln))


def settled_many(kiln: Kiln, names: Sequence[DeviceId]) -> None:
    """The same for many, of which most were held."""
    settle.settle_many(names, parts(kiln))


def heard(kiln: Kiln, said: Sequence[tuple[Device, Report]]) -> None:
    """After reports were kept: roll-outs may go on by them."""
    if settle.heard(said, parts(kiln)):
        kiln.stirred.ring()


class Signers:
    """Called by one thread at a time, whoever has the turn."""

    def __init__(self) -> None:  # the threads start with the first order
        self._hasty = ThreadPoolExecutor(HASTY, thread_name_prefix="sign")
        self._calm = ThreadPoolExecutor(CALM, thread_name_prefix="sign-calmly")
        self._first = FIRST
        self._last_at = 0.0

    def each(self, act: Callable[[Device], Ordered], devices: list[Device]) -> Iterable[Ordered]:
        """As `map`, from now on and several at once."""
        if len(devices) < 2 * HASTY:
            return map(act, devices)
        now = time.monotonic()
        if now - self._last_at > QUIET_S:
            self._first = FIRST
        self._last_at = now
        hands = self._hasty if self._first > 0 else self._calm
        self._first -= len(devices)
        return hands.map(act, devices)


_ALONE = threading.Lock()
_SIGNERS = Signers()
