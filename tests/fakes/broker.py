from collections.abc import Iterable

from service.domain.errors import BrokerError


class MemoryBroker:
    """`service.ports.Broker` that remembers what is retained."""

    error = BrokerError

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.said: list[tuple[str, bytes]] = []  # and not retained
        self.is_away = False

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if self.is_away:
            raise BrokerError("the broker is away")
        if not retain:
            self.said.append((topic, payload))
        elif payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)

    def publish_many(self, messages: Iterable[tuple[str, bytes]], *, retain: bool) -> None:
        for topic, payload in messages:
            self.publish(topic, payload, retain=retain)


class MemoryAccounts:
    """`service.ports.BrokerAccounts` in a dictionary."""

    error = BrokerError

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.also: dict[str, str] = {}
        self.knows_two = True
        self.is_away = False

    def allow(self, device: str, token: str) -> None:
        if self.is_away:
            raise BrokerError("the broker is away")
        self.tokens[device] = token
        self.also.pop(device, None)

    def allow_also(self, device: str, token: str) -> bool:
        if self.is_away:
            raise BrokerError("the broker is away")
        if self.knows_two:
            self.also[device] = token
        return self.knows_two

    def forbid(self, device: str) -> None:
        self.tokens.pop(device, None)
        self.also.pop(device, None)

    def names(self) -> set[str]:
        return set(self.tokens)

    def knows(self, device: str, token: str) -> bool:
        return token in (self.tokens.get(device), self.also.get(device))

    def close(self) -> None:
        """There is no connection."""
