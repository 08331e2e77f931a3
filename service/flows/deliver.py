"""Deliver: the outbox is drained into the broker."""

from service.domain.notice import topic
from service.ports import Broker, Clock
from service.records import Fleet

SAID = ("alive", "report", "log")  # what a device may have had the broker keep, though it should keep the first alone


def drain(*, fleet: Fleet, broker: Broker, clock: Clock) -> int:
    """Send what is unsent; how many notices that were. Raises: BrokerError; the rest stays unsent.

    A notice may be sent twice (killed before it is marked): it is retained and the same bytes, so nobody minds.
    """
    notices = fleet.unsent()
    if notices:
        messages = [(topic(each.device), each.payload) for each in notices]
        messages += [(topic(each.device, kind), b"") for each in notices if not each.payload for kind in SAID]
        broker.publish_many(messages, retain=True)
        fleet.sent(notices, now=clock.now())
    return len(notices)
