"""What goes on beside the requests: notices, orders that expire, words to forges, and pushes that were lost."""

import functools
import logging
import random
import secrets

from service import configuring, key_routes, release_routes, rolling
from service.adapters.background import Repeater
from service.flows import announce, deliver, forget, rollouts, settle, wind_down
from service.flows.keep import Keeper
from service.flows.recover import Recovery
from service.flows.shared import Remaker
from service.flows.tell import Teller
from service.home import HomeAssistant
from service.kiln import Kiln

logger = logging.getLogger("kiln.background")

OUTBOX_EVERY_S = 2.0
RENEWAL_EVERY_S = 3600.0
KEY_USE_EVERY_S = 300.0  # one entry of the audit log for all that a key signed meanwhile
WINDING_EVERY_S = 0.25  # how long a superseded build may still be at work
TELLER_EVERY_S = 1.0
KEEPER_EVERY_S = 2.0
SETTINGS_EVERY_S = 1.0
SEALING_EVERY_S = 2.0  # nothing is looked at unless a key was changed
ROLLOUTS_EVERY_S = 2.0
HISTORY_EVERY_S = 3600.0
STOP_S = 3.0  # a task that waits for another system is left behind then: all of it is safe to repeat


class Background:
    """All of it, for one Kiln. `outbox` can be woken."""

    def __init__(self, kiln: Kiln) -> None:
        self.outbox = Repeater(
            "outbox",
            lambda: deliver.drain(fleet=kiln.fleet, broker=kiln.broker.link, clock=kiln.clock),
            every_s=OUTBOX_EVERY_S,
        )
        # The outbox looks for itself soon enough.
        renewal = Repeater("renewal", lambda: _renew(kiln), every_s=RENEWAL_EVERY_S)
        winding = Repeater(
            "winding",
            lambda: wind_down.wind_down(builds=kiln.builds, stop=kiln.starter.stop),
            every_s=WINDING_EVERY_S,
        )
        teller = Repeater("teller", _teller(kiln).tell, every_s=TELLER_EVERY_S)
        key_use = Repeater("key use", lambda: key_routes.note_use(kiln), every_s=KEY_USE_EVERY_S)
        settings = Repeater("settings", lambda: _remake(remaker, settings), every_s=SETTINGS_EVERY_S)
        sealing = Repeater("sealing", lambda: _seal_again(kiln, sealing), every_s=SEALING_EVERY_S)
        keeper = Repeater("keeper", lambda: _look(look, keeper), every_s=KEEPER_EVERY_S)
        history = Repeater("history", lambda: _forget(kiln, history), every_s=HISTORY_EVERY_S, share=0.25)
        look, remaker = _keeper(kiln), configuring.remaker(kiln, self.outbox.wake)
        parts = rolling.parts(kiln)
        turns = Repeater("rollouts", lambda: rollouts.advance_all(parts), every_s=ROLLOUTS_EVERY_S, share=0.25)
        recall = Repeater(
            "recall",
            lambda: release_routes.recall(kiln, functools.partial(key_routes.publish_anew, kiln)),
            every_s=RENEWAL_EVERY_S,
        )
        kiln.withdrawn.listen(recall.wake)
        kiln.told.listen(self.outbox.wake)
        kiln.stirred.listen(turns.wake)
        home = HomeAssistant.of(kiln, self.outbox.wake)
        shown = () if home is None else (home.repeater,)
        self._all = (self.outbox, renewal, winding, teller, key_use, settings, sealing, keeper, turns, recall)
        self._all += (history, *shown)

    def start(self) -> None:
        for each in self._all:
            each.start()

    def stop(self) -> None:
        for each in reversed(self._all):
            each.stop(timeout_s=STOP_S)


def _renew(kiln: Kiln) -> None:
    """First what a change of keys left behind, if the service ended in the middle of it."""
    done = key_routes.resign(kiln)
    if done.releases or done.orders or done.failed:
        logger.warning("signed anew", extra={"releases": done.releases, "orders": done.orders, "failed": done.failed})
    announce.renew(builds=kiln.builds, fleet=kiln.fleet, keys=kiln.keys, clock=kiln.clock)
    settle.settle_forgotten(rolling.parts(kiln))


def _look(look: Keeper, again: Repeater) -> None:
    if look.look():
        again.wake()


def _remake(remaker: Remaker, again: Repeater) -> None:
    if remaker.step():
        again.wake()


def _forget(kiln: Kiln, again: Repeater) -> None:
    if forget.forget(kiln.history, kiln.clock, days=kiln.settings.keep_history_days):
        again.wake()


def _seal_again(kiln: Kiln, again: Repeater) -> None:
    if kiln.sealed.resealer.step():
        again.wake()


def _teller(kiln: Kiln) -> Teller:
    return Teller(
        marks=kiln.marks,
        builds=kiln.builds,
        repositories=kiln.repositories,
        forges=kiln.forges,
        clock=kiln.clock,
        base_url=kiln.settings.url,
        chance=random.random,
    )


def _keeper(kiln: Kiln) -> Keeper:
    recovery = Recovery(
        repositories=kiln.repositories,
        builds=kiln.builds,
        sources=kiln.sources,
        clock=kiln.clock,
        base_url=kiln.settings.url,
        new_id=lambda: f"found-{secrets.token_hex(8)}",
    )
    return Keeper(
        recovery,
        repositories=kiln.repositories,
        forges=kiln.forges,
        clock=kiln.clock,
        every_s=kiln.settings.reconcile_s,
        chance=random.random,
    )
