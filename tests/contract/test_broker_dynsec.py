"""What Mosquitto's dynamic security plugin does beside what all brokers do."""

import contextlib
import pathlib
import secrets
from collections.abc import Iterator

import pytest

from service.adapters.broker_client import Place
from service.adapters.broker_control import Control
from service.adapters.broker_dynsec import DynsecAccounts
from service.domain.errors import BrokerError
from tests.contract.broker_stage import Stage, desired, soon
from tests.servers import BrokerServer, dynsec_broker, free_port

TOKEN = "t" * 43


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    made = dynsec_broker(tmp_path_factory.mktemp("dynsec"))
    with made:
        yield made


def test_a_service_that_was_given_its_rights_just_now_hears_whoever_speaks_once_it_is_connected(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dynsec_broker(tmp_path) as fresh, contextlib.closing(Stage(fresh)) as stage:
        stage.device("d1").publish("kiln/v1/d1/report", b"one")

        assert soon(lambda: stage.reports_of("d1") == [b"one"])
        assert "lost the MQTT broker" not in caplog.text


def test_rights_of_the_service_that_were_taken_away_are_given_again_at_the_next_connection(
    stage: Stage, name: str
) -> None:
    control = Control(stage.broker.place)
    acl = {"acltype": "publishClientSend", "topic": "kiln/v1/+/desired"}
    with contextlib.suppress(BrokerError):  # it closes us, too
        control.ask([{"command": "removeRoleACL", "rolename": "kiln-service", **acl}])
    control.close()
    assert soon(lambda: stage.service.is_connected)
    stage.service.stop()
    stage.relink()

    stage.service.publish(desired(name), b"one", retain=True)

    device = stage.device(name).subscribe(desired(name))
    assert soon(lambda: device.messages == [(desired(name), b"one", True)])


def test_rights_that_an_older_role_of_a_device_has_are_put_right(stage: Stage, name: str) -> None:
    control = Control(stage.broker.place)
    all_of_it = {"acltype": "subscribePattern", "topic": "kiln/v1/#", "allow": True}
    control.ask([{"command": "createRole", "rolename": f"kiln-device-{name}", "acls": [all_of_it]}])

    stage.allow(name)

    [role] = control.ask([{"command": "getRole", "rolename": f"kiln-device-{name}"}])
    control.close()
    assert [each["topic"] for each in role["data"]["role"]["acls"]].count("kiln/v1/#") == 0
    assert len(role["data"]["role"]["acls"]) == 5


def test_a_client_that_was_disabled_is_let_in_by_allow(stage: Stage, name: str) -> None:
    token = stage.allow(name)
    control = Control(stage.broker.place)
    control.ask([{"command": "disableClient", "username": name}])
    control.close()
    assert not stage.connect(name, name, token).is_welcome

    stage.broker.accounts.allow(name, token)

    assert stage.connect(name, name, token).is_welcome


def test_many_commands_go_in_messages_that_the_broker_takes(stage: Stage) -> None:
    control = Control(stage.broker.place)
    names = [f"many-{secrets.token_hex(6)}" for _ in range(120)]

    made = control.ask([{"command": "createRole", "rolename": each, "textdescription": "x" * 200} for each in names])
    gone = control.ask([{"command": "deleteRole", "rolename": each} for each in [*names, "never-was"]])

    control.close()
    assert [each.get("error") for each in made] == [None] * 120
    assert [each.get("error") for each in gone] == [None] * 120 + ["Role not found"]


def test_who_has_no_rights_over_accounts_is_told_so(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = stage.allow(name)
    stranger = Place(host="127.0.0.1", port=stage.broker.port, user=name, password=token)
    control = Control(stranger)
    monkeypatch.setattr("service.adapters.broker_control.TIMEOUT_S", 1.0)
    with pytest.raises(BrokerError, match="no connection"):
        control.ask([{"command": "listClients"}])
    control.close()


def test_without_a_broker_accounts_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.broker_control.TIMEOUT_S", 0.5)
    control = Control(Place(host="127.0.0.1", port=free_port(), password="x"))
    accounts = DynsecAccounts(control)

    with pytest.raises(BrokerError, match="no connection"):
        accounts.allow("roof", TOKEN)

    assert accounts.knows("roof", TOKEN)  # nothing is known yet
    control.close()
