"""All brokers: who has an account, and how everybody comes back after the broker lost them."""

from service.adapters.broker_dynsec import DynsecAccounts
from service.adapters.broker_mosquitto import MosquittoAccounts
from service.adapters.broker_store import EmbeddedAccounts
from service.adapters.mqtt import MqttBroker
from service.domain.device import DeviceId
from service.flows import credentials, deliver
from tests.contract.broker_stage import Stage, desired, report, soon
from tests.servers import SERVICE_PASSWORD, BrokerServer, begin_dynsec
from tests.unit.service.configuring import parts
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published, token_change

TOKEN = "t" * 43  # as steps.enrolled gives it


def lose_accounts(broker: BrokerServer) -> None:
    """The broker's files are gone, and the operator begins anew as on the first day."""
    folder = broker.folder
    broker.server.stop()
    for name in ("broker.db", "broker.db-wal", "broker.db-shm", "passwords", "dynamic-security.json"):
        (folder / name).unlink(missing_ok=True)
    if isinstance(broker.accounts, DynsecAccounts):
        begin_dynsec(folder)
    elif isinstance(broker.accounts, MosquittoAccounts):
        MosquittoAccounts(folder, service_password=SERVICE_PASSWORD)
    else:
        EmbeddedAccounts(folder)
    broker.server.start()


def test_who_has_an_account_is_known(stage: Stage, name: str) -> None:
    accounts = stage.broker.accounts
    before = accounts.names()

    accounts.allow(name, TOKEN)

    assert accounts.names() - before == {name}
    assert accounts.knows(name, TOKEN)
    assert not accounts.knows(name, "x" * 43)
    accounts.forbid(name)
    assert accounts.names() == before
    assert not accounts.knows(name, TOKEN)


def test_a_broker_that_lost_its_accounts_gets_each_back_from_the_device_itself(
    stage: Stage, world: World, name: str
) -> None:
    accounts, change = stage.broker.accounts, token_change(world, stage.broker.accounts)
    enrolled(world, name, accounts=accounts)
    assert stage.connect(name, name, TOKEN).is_welcome or stage.broker.settle_s

    lose_accounts(stage.broker)
    assert soon(lambda: stage.service.is_connected)
    assert accounts.names() == set()
    assert not stage.connect(name, name, TOKEN).is_welcome
    for wrong in ("", "x" * 43):
        credentials.follow(world.fleet.device(DeviceId(name)), wrong, change)
    assert accounts.names() == set()

    credentials.follow(world.fleet.device(DeviceId(name)), TOKEN, change)  # it asks over HTTP

    assert soon(lambda: stage.connect(name, name, TOKEN).is_welcome)
    device = stage.connect(name, name, TOKEN)
    device.publish(report(name), b"back")
    assert soon(lambda: (name, b"back") in stage.reports)
    stage.service.publish(desired(name), b"order", retain=True)
    device.subscribe(desired(name))
    assert soon(lambda: device.messages == [(desired(name), b"order", True)])
    assert world.fleet.events(DeviceId(name))[0].detail == "the broker had lost it, and has it again"


def test_a_broker_with_an_older_copy_of_its_accounts_takes_the_token_that_the_device_has_now(
    stage: Stage, world: World, name: str
) -> None:
    accounts, change, older = stage.broker.accounts, token_change(world, stage.broker.accounts), "o" * 43
    enrolled(world, name, accounts=accounts)
    accounts.allow(name, older)  # as the copy says
    accounts.names()  # as at a new connection
    assert soon(lambda: not stage.connect(name, name, TOKEN).is_welcome)

    credentials.follow(world.fleet.device(DeviceId(name)), TOKEN, change)  # it asks over HTTP

    assert soon(lambda: stage.connect(name, name, TOKEN).is_welcome)
    assert soon(lambda: not stage.connect(name, name, older).is_welcome)


def test_a_device_that_is_to_change_its_token_is_not_left_with_the_new_one_alone(
    stage: Stage, world: World, name: str
) -> None:
    accounts, change, new = stage.broker.accounts, token_change(world, stage.broker.accounts), "n" * 43
    enrolled(world, name, accounts=accounts)
    credentials.rotate(DeviceId(name), parts(world), accounts=accounts, new_token=lambda _name: new, by="ann")
    lose_accounts(stage.broker)
    assert soon(lambda: stage.service.is_connected)
    accounts.names()

    credentials.follow(world.fleet.device(DeviceId(name)), TOKEN, change)  # it did not change yet, and asks over HTTP

    assert soon(lambda: stage.connect(name, name, TOKEN).is_welcome)


def test_an_older_copy_of_the_accounts_does_not_bring_a_retired_device_back(
    stage: Stage, world: World, name: str
) -> None:
    accounts = stage.broker.accounts
    enrolled(world, name, accounts=accounts)
    enrolled(world, f"{name}-2", accounts=accounts)
    credentials.retire(DeviceId(name), parts(world), accounts=accounts, by="ann")
    accounts.allow(name, TOKEN)  # as the copy says

    assert credentials.end_of_retired(accounts, world.fleet) == [name]

    assert credentials.end_of_retired(accounts, world.fleet) == []
    assert accounts.names() >= {f"{name}-2"}
    assert soon(lambda: not stage.connect(name, name, TOKEN).is_welcome)


def test_a_broker_that_lost_its_messages_is_sent_every_order_again(stage: Stage, world: World, name: str) -> None:
    stage.service.stop()
    link = MqttBroker(stage.broker.place, prepare=stage.broker.prepare)
    returns: list[bool] = []

    def returned(is_known: bool) -> None:
        if not is_known:
            world.fleet.send_again(now=world.clock.now())
        returns.append(is_known)

    link.on_return(returned)
    link.start()
    enrolled(world, name, accounts=stage.broker.accounts)
    announced(world, published(world, "one"))
    try:
        assert soon(lambda: link.is_connected)
        deliver.drain(fleet=world.fleet, broker=link, clock=world.clock)
        assert world.fleet.unsent() == []

        stage.broker.server.stop()
        for lost in ("retained.db", "retained.db-wal", "retained.db-shm", "mosquitto.db"):
            (stage.broker.folder / lost).unlink(missing_ok=True)
        returns.clear()
        stage.broker.server.start()
        assert soon(lambda: returns == [False])

        deliver.drain(fleet=world.fleet, broker=link, clock=world.clock)
        device = stage.connect(name, name, TOKEN).subscribe(desired(name))
        assert soon(lambda: [each[1] for each in device.messages] == [world.fleet.notice(DeviceId(name))])
    finally:
        link.stop()
