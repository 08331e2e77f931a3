"""Deliver: the outbox is drained into the broker."""

from service.domain.notice import topic
from service.ports import Broker, Clock
from service.records import Fleet


def drain(*, fleet: Fleet, broker: Broker, clock: Clock) -> int:
    """Send what is unsent; how many notices that were. Raises: BrokerError; the rest stays unsent.

    A notice may be sent twice (killed before it is marked): it is retained and the same bytes, so nobody minds.
    """
    notices = fleet.unsent()
    for each in notices:
        broker.publish(topic(each.device), each.payload, retain=True)
        fleet.sent([each], now=clock.now())
    return len(notices)
