"""A real `kiln serve` with a real Mosquitto and its dynamic security plugin: who may what, and nothing is lost when
either of them is killed.
"""

import contextlib
import json
import os
import pathlib
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.demo.parts import Kiln
from tests.contract.broker_stage import Client, alive, ask, desired, report, soon
from tests.integration.crash.processes import ordered, wait
from tests.servers import SERVICE_PASSWORD, BrokerServer, dynsec_broker
from tests.simulators.git import git

pytestmark = [pytest.mark.enable_socket]

DEVICES = "/api/v1/devices"


class Stage:
    """Both of them, and devices as strangers write them."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.joinpath("broker").mkdir()
        git(folder, "init", "--quiet", "--bare", "blink.git")
        self.broker: BrokerServer = dynsec_broker(folder / "broker")
        settings = {
            "KILN_BROKER": "mosquitto-dynsec",
            "KILN_MQTT_PORT": str(self.broker.port),
            "KILN_MQTT_PASSWORD": SERVICE_PASSWORD,
            "KILN_RUNNERS": "0",
        }
        self.kiln = Kiln(folder / "data", settings)
        self.repository = ""
        self._url = f"file://{folder / 'blink.git'}"
        self._clients: list[Client] = []

    def start(self) -> None:
        self.broker.server.start()
        self.kiln.start()
        # Nothing waits at a broker for a service that never came to it.
        wait(lambda: "connected to the MQTT broker" in (self.kiln.data / "kiln.log").read_text(), "the service's link")
        made = {"forge": "local", "path": "acme/blink", "url": self._url}
        self.repository = str(self.kiln.call("/api/v1/repositories", made)["id"])

    def enrol(self, name: str) -> str:
        """Through the API; its token."""
        made = self.kiln.call(DEVICES, {"id": name, "repository": self.repository, "board": "unix"})
        return str(made["device"]["token"])

    def retire(self, name: str) -> None:
        request = urllib.request.Request(
            f"{self.kiln.url}{DEVICES}/{name}", headers={"Authorization": f"Bearer {self.kiln.token}"}, method="DELETE"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def order(self, name: str, seq: int) -> bytes:
        return ordered(self.kiln.data, name, seq)

    def come(self, user: str, token: str, client_id: str = "") -> Client:
        made = Client(self.broker.port, client_id or user, user, token)
        self._clients.append(made)
        return made

    def is_told(self, name: str, token: str, notice: bytes) -> None:
        """Wait until whoever connects now is told this, which the broker keeps."""
        client = self.come(name, token)
        assert client.is_welcome
        client.subscribe(desired(name))
        assert soon(lambda: notice in [payload for _, payload, _ in client.messages]), client.messages
        client.close()

    def boots(self, name: str) -> set[int]:
        """What the service heard of it."""
        return {each["boots"] for each in self.kiln.call(f"{DEVICES}/{name}")["reports"]}

    def hears(self, name: str, boots: set[int]) -> None:
        wait(lambda: boots <= self.boots(name), f"the reports {boots} of {name}", log=self.kiln.data / "kiln.log")

    def kill_service(self) -> int:
        """The process that `kiln serve` keeps. Its number."""
        [found] = service_processes(self.kiln)
        os.kill(found, signal.SIGKILL)
        return found

    def kill_all(self) -> None:
        """`kiln serve` itself, and what it keeps."""
        process = self.kiln._process
        assert process is not None
        [service] = service_processes(self.kiln)
        for each in (process.pid, service):
            os.kill(each, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for each in self._clients:
            each.close()
        self.kiln.stop()
        self.broker.accounts.close()
        self.broker.server.stop()


def service_processes(kiln: Kiln) -> list[int]:
    process = kiln._process
    assert process is not None
    found = []
    for each in pathlib.Path(f"/proc/{process.pid}/task").glob("*/children"):
        found += [int(number) for number in each.read_text().split()]
    return [each for each in found if b"service\0service" in pathlib.Path(f"/proc/{each}/cmdline").read_bytes()]


def say(client: Client, name: str, boots: int) -> None:
    client.publish(report(name), json.dumps({"v": 1, "state": "idle", "boots": boots}).encode())


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    with contextlib.closing(Stage(tmp_path)) as made:
        made.start()
        yield made


def test_a_device_has_its_own_topics_and_no_others_until_it_is_retired(stage: Stage) -> None:
    token, other = stage.enrol("roof"), stage.enrol("attic")
    attics = stage.order("attic", 1)
    stage.is_told("attic", other, attics)
    roof = stage.come("roof", token)
    assert roof.is_welcome
    strangers = (("roof", "wrong", ""), ("roof", other, ""), ("roof", token, "attic"), ("cellar", token, ""))
    for user, word, client_id in strangers:
        assert not stage.come(user, word, client_id).is_welcome

    for topic in (desired("roof"), ask("roof"), desired("attic"), report("attic"), "kiln/v1/#", "#", "$CONTROL/#"):
        roof.subscribe(topic)
    forged = json.dumps({"commands": [{"command": "createClient", "username": "cellar", "password": "x"}]}).encode()
    for topic, payload in (
        (desired("attic"), b"forged"),
        (desired("roof"), b"forged"),
        (alive("attic"), b"1"),
        ("$CONTROL/dynamic-security/v1", forged),
    ):
        roof.publish(topic, payload, retain=True)
    say(roof, "attic", 7)
    say(roof, "roof", 1)
    notice = stage.order("roof", 1)

    stage.hears("roof", {1})
    assert soon(lambda: roof.messages != [])
    assert [each[:2] for each in roof.messages] == [(desired("roof"), notice)]
    assert stage.boots("attic") == set()
    stage.is_told("attic", other, attics)
    assert not stage.come("cellar", "x").is_welcome

    stage.retire("roof")

    assert roof.is_gone.wait(20)
    assert not stage.come("roof", token).is_welcome
    say(attic := stage.come("attic", other), "attic", 2)
    assert attic.is_welcome
    stage.hears("attic", {2})


def test_nothing_is_lost_when_the_service_or_the_broker_is_killed(stage: Stage) -> None:
    token, gone = stage.enrol("roof"), stage.enrol("cellar")
    say(stage.come("roof", token), "roof", 1)
    stage.hears("roof", {1})

    notice = stage.order("roof", 1)
    stage.retire("cellar")
    killed = stage.kill_service()
    say(stage.come("roof", token), "roof", 2)  # nobody hears it now
    wait(lambda: service_processes(stage.kiln) not in ([], [killed]), "another service process")
    wait(stage.kiln._answers, "the service")
    stage.hears("roof", {1, 2})
    stage.is_told("roof", token, notice)

    notice = stage.order("roof", 2)
    stage.kill_all()
    say(stage.come("roof", token), "roof", 3)
    stage.broker.server.stop()
    stage.broker.server.start()
    stage.kiln.start()
    stage.hears("roof", {1, 2, 3})
    stage.is_told("roof", token, notice)

    stage.broker.server.kill()
    with ThreadPoolExecutor() as pool:
        enrolled = pool.submit(stage.enrol, "attic")  # which waits for the broker, and has it within its ten seconds
        stage.broker.server.start()
        other = enrolled.result()
    wait(lambda: stage.come("roof", token).is_welcome, "the broker to know the device")
    assert not stage.come("cellar", gone).is_welcome
    say(stage.come("roof", token), "roof", 4)
    stage.hears("roof", {1, 2, 3, 4})
    stage.is_told("roof", token, notice)
    assert stage.come("attic", other).is_welcome
