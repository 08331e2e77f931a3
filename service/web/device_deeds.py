"""What people do to devices, wired to the parts of one Kiln."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.domain.agent import AgentRelease
from service.domain.device import Device, DeviceId
from service.domain.errors import BrokerError
from service.domain.notice import topic
from service.flows import configure, credentials
from service.flows.configure import Parts, Wish
from service.ports import Broker, BrokerAccounts


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDeeds:
    """Each takes who did it, for the device's history. `announced` wakes the outbox."""

    parts: Parts
    accounts: BrokerAccounts
    broker: Broker
    announced: Callable[[], None]
    new_token: Callable[[str], str]
    where: dict[str, Any]  # `base` and `mqtt`, as devices are told now
    newest_agent: Callable[[], AgentRelease | None]
    release_agent: Callable[[], AgentRelease]

    def settings(self, name: DeviceId, wish: Wish, by: str) -> Device:
        return self._told(configure.settings(name, wish, self.parts, by=by))

    def rotate(self, name: DeviceId, by: str) -> Device:
        made = credentials.rotate(name, self.parts, accounts=self.accounts, new_token=self.new_token, by=by)
        return self._told(made)

    def move(self, name: DeviceId, by: str) -> Device:
        return self._told(configure.address(name, self.where, self.parts, by=by))

    def update_agent(self, name: DeviceId, by: str) -> Device:
        return self._told(configure.agent(name, self.release_agent(), self.parts, by=by))

    def retire(self, name: DeviceId, by: str) -> Device:
        device = credentials.retire(name, self.parts, accounts=self.accounts, by=by)
        self.parts.again(name)  # it leaves the roll-outs that it is in
        return self._told(device)

    def ask(self, name: DeviceId) -> bool:
        """Whether the question reached the broker."""
        try:
            self.broker.publish(topic(name, "ask"), b"log", retain=False)
        except BrokerError:
            return False
        return True

    def _told(self, device: Device) -> Device:
        self.announced()
        return device
