"""What the embedded broker knows of a client: while it is connected, and in between when it asked for that."""

import collections
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from service.adapters.broker_packets import Message, matches, publish
from service.adapters.broker_rights import HOME

MAX_INFLIGHT = 100  # messages sent and not acknowledged, for each client
MAX_WAITING = 10_000  # messages behind those; then the oldest is given up
MAX_FILTERS = 20
MAX_FILTERS_OF_HOME = 50_000  # Home Assistant: some 70 of its own, and two for each device
MAX_PACKET_ID = 65_535
PAGE = 500  # messages read from the disk at once


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message that is on the disk until the client has acknowledged it."""

    id: int
    client: str
    message: Message


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

    @property
    def is_here(self) -> bool:
        return self._send is not None

    def subscribe(self, name: str, qos: int) -> bool:
        """False when there are too many."""
        most = MAX_FILTERS_OF_HOME if self.user == HOME else MAX_FILTERS
        if name not in self.filters and len(self.filters) >= most:
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
            self._send(publish(message := self._waiting.popleft(), self._numbered(message)))

    def _numbered(self, message: Message) -> int:
        packet_id = next(each for each in self._ids if each not in self._inflight)
        self._inflight[packet_id] = message
        return packet_id


class KeptSession(Session):
    """The service's own: what waits for it outlives the broker.

    Its filters and the messages that it has not acknowledged are on the disk. Retained ones are not: whoever
    subscribes again is sent the newest of each.
    """

    def __init__(
        self,
        client: str,
        user: str,
        *,
        read: Callable[[str, int, int], Iterable[Spooled]],
        done: Callable[[int], None],
    ) -> None:
        """`read` gives messages of this client after an id, in order; `done` is told whose are acknowledged."""
        super().__init__(client, user)
        self._read = read
        self._done = done
        self._last = 0  # of those that were read
        self._spooled: dict[int, int] = {}  # packet id: id on the disk

    @staticmethod
    def keeps(message: Message) -> bool:
        """Whether it has to be on the disk before its sender is told that we have it."""
        return bool(message.qos) and not message.retain

    def deliver(self, message: Message, qos: int, *, retain: bool) -> None:
        if self.keeps(message):
            self._pump()  # it is on the disk by now
        elif self._send is not None:
            super().deliver(message, qos, retain=retain)

    def detach(self) -> None:
        super().detach()
        self._waiting.clear()  # retained ones, all of them

    def acknowledged(self, packet_id: int) -> None:
        spooled = self._spooled.pop(packet_id, None)
        if spooled is not None:
            self._done(spooled)
        super().acknowledged(packet_id)

    def _pump(self) -> None:
        super()._pump()
        while self._send is not None and (room := MAX_INFLIGHT - len(self._inflight)) > 0:
            found = list(self._read(self.client, self._last, min(room, PAGE)))
            for each in found:
                packet_id = self._numbered(each.message)
                self._last, self._spooled[packet_id] = each.id, each.id
                self._send(publish(each.message, packet_id))
            if len(found) < room:
                return


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
