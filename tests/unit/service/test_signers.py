"""Orders are signed by several threads and come in their order; by fewer, when the first ones are done."""

import datetime
import threading

from service.domain.device import Device, DeviceId
from service.domain.notice import Order
from service.domain.release import ReleaseDigest
from service.domain.repository import RepositoryId
from service.flows.rollout_parts import Ordered
from service.rolling import FIRST, HASTY, Signers

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)


def some(count: int) -> list[Device]:
    return [
        Device(
            id=DeviceId(f"d{number:04}"),
            repository=RepositoryId("local/acme/blink"),
            board="unix",
            channel="beta",
            token_digest="",
            created_at=NOW,
        )
        for number in range(count)
    ]


def signed_by(signers: Signers, devices: list[Device]) -> set[str]:
    """The names of the threads, without their numbers; the orders came in the order of the devices."""
    names: set[str] = set()

    def act(device: Device) -> Ordered:
        names.add(threading.current_thread().name.rpartition("_")[0])
        return device.id, Order(seq=1, release=ReleaseDigest("0" * 64), config="", notice=b"", until=NOW)

    assert [name for name, _ in signers.each(act, devices)] == [each.id for each in devices]
    return names


def test_the_first_orders_are_signed_in_haste_and_those_after_them_calmly() -> None:
    signers, half = Signers(), some(FIRST // 2)
    assert [signed_by(signers, half) for _ in range(4)] == [{"sign"}, {"sign"}, {"sign-calmly"}, {"sign-calmly"}]


def test_a_few_are_signed_at_once_by_whoever_asks() -> None:
    here = threading.current_thread().name.rpartition("_")[0]
    assert signed_by(Signers(), some(HASTY)) == {here}
