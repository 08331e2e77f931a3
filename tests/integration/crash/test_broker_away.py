"""Broker and service are killed in turn while a device reports and an order is on its way: nothing is lost."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from service.adapters.broker_store import EmbeddedAccounts
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.repositories import DatabaseRepositories
from service.domain.device import Device, DeviceId
from service.domain.repository import Forge, Repository, RepositoryId
from tests.contract.broker_stage import Client, desired, report, soon
from tests.integration.crash.processes import Processes, now, ordered, wait

pytestmark = [pytest.mark.enable_socket]

NAME, TOKEN = DeviceId("roof"), "t" * 43
BLINK = Repository(
    id=RepositoryId("local/acme/blink"), forge=Forge.LOCAL, path="acme/blink", url="file:///x", secret="s" * 20
)


@pytest.fixture
def kiln(tmp_path: pathlib.Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}")
    DatabaseRepositories(engine).add(BLINK)
    device = Device(id=NAME, repository=BLINK.id, board="unix", channel="beta", token_digest="x", created_at=now())
    DatabaseFleet(engine).add_device(device)
    engine.dispose()
    EmbeddedAccounts(tmp_path / "broker").allow(NAME, TOKEN)
    yield made
    made.close()


def connected(kiln: Processes) -> Client:
    found: list[Client] = []

    def is_welcome() -> bool:
        try:
            found.append(Client(kiln.mqtt_port, NAME, NAME, TOKEN))
        except OSError:  # it does not listen yet
            return False
        return found[-1].is_welcome

    wait(is_welcome, "the broker")
    return found[-1]


def say(device: Client, boots: int) -> None:
    device.publish(report(NAME), json.dumps({"v": 1, "state": "idle", "boots": boots}).encode())


def heard(kiln: Processes) -> list[int]:
    """Each report once: one that was kept comes again when the service is killed before it acknowledges it."""
    kept = [json.loads(str(row[0]))["boots"] for row in kiln.ask("SELECT report FROM reports ORDER BY id")]
    return list(dict.fromkeys(kept))


def test_reports_and_orders_outlast_killed_processes(kiln: Processes) -> None:
    kiln.broker()
    kiln.service()
    device = connected(kiln)
    say(device, 1)
    wait(lambda: heard(kiln) == [1], "the first report", log=kiln.data / "service.log")

    kiln.kill("service")
    say(device, 2)
    kiln.kill("broker")
    device.close()
    kiln.broker()
    device = connected(kiln)  # before the service is back
    say(device, 3)
    kiln.kill("broker")
    device.close()
    notice = ordered(kiln.data, NAME, 1)
    kiln.service()
    kiln.broker()

    wait(lambda: heard(kiln) == [1, 2, 3], "the reports", log=kiln.data / "service.log")
    device = connected(kiln).subscribe(desired(NAME))
    assert soon(lambda: [each[1] for each in device.messages] == [notice])

    kiln.kill("broker")  # right after the order was acknowledged
    device.close()
    kiln.kill("service")
    kiln.broker()
    device = connected(kiln).subscribe(desired(NAME))
    assert soon(lambda: [each[1] for each in device.messages] == [notice])
    device.close()
