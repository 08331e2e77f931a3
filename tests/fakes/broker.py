from collections.abc import Iterable

from service.domain.errors import BrokerError


class MemoryBroker:
    """`service.ports.Broker` that remembers what is retained."""

    error = BrokerError

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.is_away = False

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if self.is_away:
            raise BrokerError("the broker is away")
        if retain:
            self.retained[topic] = payload

    def publish_many(self, messages: Iterable[tuple[str, bytes]], *, retain: bool) -> None:
        for topic, payload in messages:
            self.publish(topic, payload, retain=retain)


class MemoryAccounts:
    """`service.ports.BrokerAccounts` in a dictionary."""

    error = BrokerError

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.is_away = False

    def allow(self, device: str, token: str) -> None:
        if self.is_away:
            raise BrokerError("the broker is away")
        self.tokens[device] = token

    def forbid(self, device: str) -> None:
        self.tokens.pop(device, None)
