"""The end of a device, and a second one of the same identity, at both brokers with the real flows beside them."""

import time
from collections.abc import Iterator, Sequence

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from service.adapters.mqtt import MqttBroker
from service.domain.device import DeviceId
from service.flows import credentials, deliver
from service.flows.track import CONNECTS, Watch
from tests.contract.broker_stage import QUIET_S, WAIT_S, Client, Stage, alive, desired, log, report, soon
from tests.servers import SERVICE_PASSWORD
from tests.unit.service.configuring import parts
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published

TOKEN = "t" * 43  # as steps.enrolled gives it


class Service:
    """What the service does with a broker: it drains the outbox and hears who is connected."""

    def __init__(self, world: World, stage: Stage) -> None:
        self.world, self.stage, self.watch = world, stage, Watch(world.fleet, world.clock)
        stage.service.stop()
        self.link = MqttBroker(stage.broker.place, prepare=stage.broker.prepare)
        self.link.on_alive(self._alive)
        self.link.start()
        assert soon(lambda: self.link.is_connected)

    def _alive(self, said: Sequence[tuple[str, bool]]) -> None:
        self.watch.take_alive(said)

    def drain(self) -> None:
        deliver.drain(fleet=self.world.fleet, broker=self.link, clock=self.world.clock)

    def connected(self, name: str, **options: object) -> Client:
        """The device of that name, as soon as the broker knows its token."""
        found: list[Client] = []

        def is_welcome() -> bool:
            found.append(self.stage.connect(name, name, TOKEN, will=alive(name), **options))
            return found[-1].is_welcome

        assert soon(is_welcome)
        return found[-1]


@pytest.fixture
def service(world: World, stage: Stage) -> Iterator[Service]:
    made = Service(world, stage)
    yield made
    made.link.stop()


def test_a23_of_a_retired_device_nothing_is_left_at_the_broker(
    service: Service, world: World, stage: Stage, name: str
) -> None:
    enrolled(world, name, accounts=stage.broker.accounts)
    announced(world, published(world, "one"))
    service.drain()
    device = service.connected(name).subscribe(desired(name))
    assert soon(lambda: len(device.messages) == 1)
    for topic, payload in ((alive(name), b"1"), (report(name), b'{"v":1,"state":"idle"}'), (log(name), b"started")):
        device.publish(topic, payload, retain=True)  # no agent of ours has the last two kept, but others may
    assert soon(lambda: world.fleet.device(DeviceId(name)).connected is True)

    credentials.retire(DeviceId(name), parts(world), accounts=stage.broker.accounts, by="ann")
    service.drain()

    assert device.is_gone.wait(WAIT_S)
    assert not stage.connect(name, name, TOKEN).is_welcome
    time.sleep(QUIET_S)  # for its last will, which the broker says for it
    service.drain()
    time.sleep(QUIET_S)
    assert retained(service, name) == []


def retained(service: Service, name: str) -> list[tuple[str, bytes]]:
    """What the broker keeps under this name, as somebody who may read all would find it."""
    found: list[tuple[str, bytes]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "kiln-service-look")
    client.username_pw_set("kiln-service", SERVICE_PASSWORD)
    client.on_message = lambda _client, _data, message: found.append((message.topic, bytes(message.payload)))
    client.on_connect = lambda client, *_: client.subscribe(f"kiln/v1/{name}/+", 1)
    service.link.stop()  # Mosquitto gives one client id to a user
    client.connect("127.0.0.1", service.stage.broker.port)
    client.loop_start()
    time.sleep(QUIET_S)
    client.disconnect()
    client.loop_stop()
    return found


def test_a24_a_second_board_of_the_same_identity_puts_the_first_out_and_the_history_says_so(
    service: Service, world: World, stage: Stage, name: str
) -> None:
    enrolled(world, name, accounts=stage.broker.accounts)
    device = DeviceId(name)
    one = service.connected(name)
    one.publish(alive(name), b"1", retain=True)

    two = service.connected(name)
    assert one.is_gone.wait(WAIT_S)
    boards = [two]
    for _ in range(CONNECTS):  # each comes back, as boards do
        boards[-1].publish(alive(name), b"1", retain=True)
        boards.append(service.connected(name))
        assert boards[-2].is_gone.wait(WAIT_S)

    assert soon(lambda: any(each.what == "alarm" for each in world.fleet.events(device)))
    alarm = next(each for each in world.fleet.events(device) if each.what == "alarm")
    assert "another board" in alarm.detail
    boards[-1].publish(report(name), b'{"v":1,"state":"idle"}')
    assert not boards[-1].is_gone.is_set()
