"""Deliver: the outbox is drained into the broker."""

from service.domain.notice import topic
from service.ports import Broker, Clock
from service.records import Fleet

# What a device may have had the broker keep, though it should keep the first alone. Of one that only has nothing to do
# any more it stays: whoever comes to the broker later learns from it that the device is there.
SAID = ("alive", "report", "log")


def drain(*, fleet: Fleet, broker: Broker, clock: Clock) -> int:
    """Send what is unsent; how many notices that were. Raises: BrokerError; the rest stays unsent.

    A notice may be sent twice (killed before it is marked): it is retained and the same bytes, so nobody minds.
    """
    notices = fleet.unsent()
    if notices:
        messages = [(topic(each.device), each.payload) for each in notices]
        messages += [(topic(each.device, kind), b"") for each in notices if each.is_last for kind in SAID]
        broker.publish_many(messages, retain=True)
        fleet.sent(notices, now=clock.now())
    return len(notices)
