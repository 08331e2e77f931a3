"""What the embedded broker knows of a client: while it is connected, and in between when it asked for that."""

import collections
import itertools
from collections.abc import Callable
from dataclasses import replace

from service.adapters.broker_packets import Message, matches, publish

MAX_INFLIGHT = 100  # messages sent and not acknowledged, for each client
MAX_WAITING = 10_000  # messages behind those; then the oldest is given up
MAX_FILTERS = 20
MAX_PACKET_ID = 65_535


class Session:
    """Filters, and the QoS 1 messages that the client has not acknowledged. Gone when the broker ends."""

    def __init__(self, client: str, user: str) -> None:
        self.client = client
        self.user = user
        self.filters: dict[str, int] = {}
        self._inflight: dict[int, Message] = {}
        self._waiting: collections.deque[Message] = collections.deque(maxlen=MAX_WAITING)
        self._ids = itertools.cycle(range(1, MAX_PACKET_ID + 1))
        self._send: Callable[[bytes], None] | None = None

    def attach(self, send: Callable[[bytes], None]) -> None:
        """The client is (back) here: what it has not acknowledged goes out again (section 4.4)."""
        self._send = send
        for packet_id, message in self._inflight.items():
            send(publish(message, packet_id, is_again=True))
        self._pump()

    def detach(self) -> None:
        self._send = None

    def subscribe(self, name: str, qos: int) -> bool:
        """False when there are too many."""
        if name not in self.filters and len(self.filters) >= MAX_FILTERS:
            return False
        self.filters[name] = qos
        return True

    def deliver(self, message: Message, qos: int, *, retain: bool) -> None:
        """Send it, or let it wait until the client is back or has room. QoS 0 waits for nobody."""
        outgoing = replace(message, qos=min(qos, message.qos), retain=retain)
        if outgoing.qos:
            self._waiting.append(outgoing)
            self._pump()
        elif self._send is not None:
            self._send(publish(outgoing, 0))

    def acknowledged(self, packet_id: int) -> None:
        self._inflight.pop(packet_id, None)
        self._pump()

    def _pump(self) -> None:
        while self._send is not None and self._waiting and len(self._inflight) < MAX_INFLIGHT:
            packet_id = next(each for each in self._ids if each not in self._inflight)
            message = self._inflight[packet_id] = self._waiting.popleft()
            self._send(publish(message, packet_id))


class Router:
    """Which sessions want a topic. Exact filters, which is what devices have, cost one look-up."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Session]] = {}
        self._wild: dict[str, dict[str, Session]] = {}

    def add(self, name: str, session: Session) -> None:
        self._table(name).setdefault(name, {})[session.client] = session

    def remove(self, name: str, session: Session) -> None:
        table = self._table(name)
        if name in table:
            table[name].pop(session.client, None)
            if not table[name]:
                del table[name]

    def wanting(self, topic: str) -> list[tuple[Session, int]]:
        """Each session once, with the greatest QoS of its filters that match."""
        found: dict[str, tuple[Session, int]] = {}
        names = [topic] if topic in self._exact else []
        names += [name for name in self._wild if matches(name, topic)]
        for name in names:
            for client, session in self._table(name)[name].items():
                qos = session.filters[name]
                if client not in found or found[client][1] < qos:
                    found[client] = (session, qos)
        return list(found.values())

    def _table(self, name: str) -> dict[str, dict[str, Session]]:
        return self._wild if "+" in name or "#" in name else self._exact
