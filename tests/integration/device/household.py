"""A real service, a real broker and a board between them: orders as people give them, until the board says so."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.virtual import flash as flashing
from service import configuring, device_routes
from service.adapters.background import Repeater
from service.adapters.broker_mosquitto import Tls
from service.adapters.broker_rights import Home
from service.declared import Declared
from service.domain.device import Device, DeviceId, Report
from service.flows import configure, deliver
from service.home import HomeAssistant
from tests.fakes.devices import Device as Enrolled, DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Browser, Site, application
from tests.integration.device.authorities import Authority
from tests.integration.device.conftest import Board
from tests.integration.device.parts import until
from tests.servers import (
    SERVICE_PASSWORD,
    BrokerServer,
    dynsec_broker,
    embedded_broker,
    free_port,
    http_server,
    mosquitto_broker,
)

HASTE = {"confirm_after_s": 0.2, "connect_s": 5, "desired_s": 0.5, "crash_pause_s": 0.5}
REPOSITORY = "acme/blink"


@dataclass
class _Port:
    port: int


class Household:
    def __init__(self, folder: Path, broker: BrokerServer, port: int, site: Site) -> None:
        self.folder, self.broker, self.site = folder, broker, site
        self.admin: Browser = site.program(ADMIN_TOKEN)
        self.devices = DeviceSite(site, None, None)  # type: ignore[arg-type]  # real ones, which are the kiln's
        self.repository = site.follow(REPOSITORY)
        self.board = Board(folder, _Port(broker.port), _Port(port))  # type: ignore[arg-type]  # of both it takes the port
        self.enrolled: Enrolled | None = None

    def settle(self, name: str = "d1", *, files: dict[str, bytes] | None = None, **changes: Any) -> Enrolled:
        """Enrol a device, write its flash and switch it on."""
        made = self.enrolled = self.devices.enrol(self.admin, name, self.repository)
        self.board.device = {**made.file, **HASTE, **changes}
        flashing.make(self.board.flash, device=self.board.device, trust=made.trust, files=files, size_bytes=1 << 20)
        self.board.switch_on()
        return made

    def device(self, name: str = "d1") -> Device:
        return self.site.kiln.fleet.device(DeviceId(name))

    def release(self, content: str, *, told: bool = True) -> str:
        """A release of the application in `content`, announced unless said otherwise; its digest."""
        number = len(self.site.kiln.builds.builds())
        build = self.site.build(self.repository, f"push-{number}")
        return str(self.devices.release(build, content.encode(), told=told).digest)

    def said(self, **fields: Any) -> Report:
        """Wait until some report had these fields."""

        def find() -> Report | None:
            for _, each in self.site.kiln.fleet.reports(DeviceId("d1")):
                if all(getattr(each, name) == value for name, value in fields.items()):
                    return each
            return None

        try:
            found: Report = until(find)
        except AssertionError:
            said = [(r.state.value, r.reason, r.detail, r.config[:6], r.seq) for _, r in self._reports()]
            raise AssertionError(f"no {fields} in {said}") from None
        return found

    def mislead(self) -> None:
        """Order an address where nobody is."""
        kiln = self.site.kiln
        parts = configuring.parts(kiln, Declared(kiln))
        nowhere = {"base": f"http://127.0.0.1:{free_port()}", "mqtt": {"host": "127.0.0.1", "port": free_port()}}
        configure.address(DeviceId("d1"), nowhere, parts, by="a mistake")

    def _reports(self) -> list[tuple[Any, Report]]:
        return self.site.kiln.fleet.reports(DeviceId("d1"))

    def order(self, method: str, target: str, **body: Any) -> dict[str, Any]:
        reply = self.admin.send(method, f"/api/v1/devices/d1{target}", json=body or None)
        assert reply.status in (200, 202), reply.body
        return dict(json.loads(reply.body))


BROKERS = {"embedded": embedded_broker, "mosquitto": mosquitto_broker, "mosquitto-dynsec": dynsec_broker}


@contextlib.contextmanager
def household(
    folder: Path, kind: str, *, authority: Authority | None = None, home: Home | None = None
) -> Iterator[Household]:
    """`kind` of broker, as KILN_BROKER names it. With an authority devices and service come to it over TLS."""
    port, data = free_port(), folder / "data"
    (data / "broker").mkdir(parents=True)
    tls, secure = _secured(authority) if authority else (None, {})
    broker = BROKERS[kind](data / "broker", tls=tls, home=home)
    with broker:
        site = Site.make(
            data,
            base_url=f"http://127.0.0.1:{port}",
            mqtt_port=broker.port,
            mqtt_password=SERVICE_PASSWORD,
            broker=kind,
            mosquitto_folder=str(data / "broker"),
            **secure,
            **({"home_assistant": home.prefix, "home_assistant_password": home.password} if home else {}),
        )
        with contextlib.closing(site), _at_work(site):
            made = Household(folder, broker, port, site)
            with http_server(site.app, port), contextlib.closing(made.board):  # it may be in the middle of a request
                yield made


def _secured(authority: Authority) -> tuple[Tls, dict[str, Any]]:
    """What the broker shows of itself, and the service's settings for it."""
    chain, key = authority.certify("localhost")
    tls = Tls(port=free_port(), certificate=chain, key=key)
    return tls, {"mqtt_host": "localhost", "mqtt_tls_port": tls.port, "mqtt_ca": str(authority.pem)}


@contextlib.contextmanager
def _at_work(site: Site) -> Iterator[None]:
    """The link to the broker and what goes on beside the requests, with the application over both."""
    kiln = site.kiln
    drain = lambda: deliver.drain(fleet=kiln.fleet, broker=kiln.broker.link, clock=kiln.clock)  # noqa: E731
    outbox = Repeater("outbox", drain, every_s=0.1)
    device_routes.Heard.at(kiln, outbox.wake)
    site.app = application(kiln)
    shown = HomeAssistant.of(kiln, outbox.wake)
    repeaters = [outbox, *([shown.repeater] if shown else [])]
    kiln.broker.link.start()
    # Nothing waits at a broker for a service that never came to it: what a board says before that is lost.
    until(lambda: kiln.broker.link.is_connected, what="the service's first connection")
    for each in repeaters:
        each.start()
    try:
        yield
    finally:
        for each in repeaters:
            each.stop(timeout_s=5)
        kiln.broker.link.stop()
