"""What the broker brings of a device that is retired: its last words, said for it, perhaps kept there."""

import pathlib

import pytest

from service.device_routes import Heard
from service.domain.device import DeviceId
from service.flows import deliver
from service.flows.track import Watch
from tests.fakes.broker import MemoryBroker
from tests.fakes.site import Site


@pytest.mark.parametrize("kind", ["report", "log", "alive"])
def test_what_it_left_is_cleared_again(tmp_path: pathlib.Path, kind: str) -> None:
    site = Site.make(tmp_path / "data")
    site.follow("acme/blink")
    kiln, broker, rung = site.kiln, MemoryBroker(), []
    admin = site.browser().sign_in_as_admin()
    body = {"id": "d1", "repository": "github/acme/blink", "board": "unix"}
    assert admin.send("POST", "/api/v1/devices", json=body).status == 201
    assert admin.send("DELETE", "/api/v1/devices/d1").status == 200
    deliver.drain(fleet=kiln.fleet, broker=broker, clock=kiln.clock)
    broker.retained[f"kiln/v1/d1/{kind}"] = b"x"
    heard = Heard(kiln, lambda: rung.append(1), Watch(kiln.fleet, kiln.clock))

    match kind:
        case "report":
            heard.reports([("d1", b'{"v":1,"state":"idle"}'), ("never-there", b'{"v":1,"state":"idle"}')])
        case "log":
            heard.log("d1", b"goodbye")
        case _:
            heard.alive([("d1", False)])
    cleared = [each.device for each in kiln.fleet.unsent()]
    deliver.drain(fleet=kiln.fleet, broker=broker, clock=kiln.clock)

    assert (cleared, broker.retained, bool(rung)) == ([DeviceId("d1")], {}, True)
    site.close()
