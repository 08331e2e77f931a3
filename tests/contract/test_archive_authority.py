"""The certificate by which a board verifies TLS: in archives, flash images and the files of `--output`."""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.adapters.authorities import device_authority
from service.domain.errors import BadInputError
from tests.contract.archive_stage import Stage, Unpacked
from tests.contract.terminal import Terminal
from tests.fakes.site import ADMIN_TOKEN
from tests.servers import free_port, http_server
from tests.simulators.certificates import certificates
from tests.unit.service.test_first_images import inside

CA = "board/kiln/ca.pem"
TLS = {"ca": "/kiln/ca.pem"}
Made = Callable[..., Stage]


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> str:
    """The file of an authority's certificate."""
    (tmp_path / "authority.pem").write_text(certificates(tmp_path, "127.0.0.1"))
    return str(tmp_path / "authority.pem")


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Made]:
    """A site of these settings, with a device `desk-1` and its release."""
    stages = []

    def made(**settings: Any) -> Stage:
        stages.append(Stage.over(tmp_path / "data", mqtt_tls_port=8883, **settings))
        stages[-1].owner = stages[-1].site.program(ADMIN_TOKEN)  # a browser's session is of one scheme
        stages[-1].release("esp32-generic")
        stages[-1].enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")
        return stages[-1]

    yield made
    for each in stages:
        each.site.close()


def tls(found: Unpacked) -> Any:
    return found.json("desk-1/board/kiln/device.json").get("tls")


def test_archive_and_flash_image_carry_the_brokers_authority(stage: Made, authority: str) -> None:
    made = stage(mqtt_ca=authority)

    found = made.archive("desk-1")
    image = made.owner.get("/api/v1/devices/desk-1/flash").body

    pem = pathlib.Path(authority).read_bytes()
    assert (found.files[f"desk-1/{CA}"], tls(found)) == (pem, TLS)
    assert found.json("desk-1/board/kiln/device.json")["mqtt"]["tls"] is True
    assert found.files["desk-1/esp32-generic-4M.bin"] == image
    held = inside(image[0x200000:])
    assert (held["kiln/ca.pem"], json.loads(held["kiln/device.json"])["tls"]) == (pem, TLS)
    assert "NOBODY IS VERIFIED" not in found.files["desk-1/README.txt"].decode()
    assert "desk-1/board/kiln/config.a" in found.names  # what it would be sent first does not lead away from this


def test_the_brokers_authority_is_not_taken_for_an_https_address(stage: Made, authority: str) -> None:
    """A board verifies both by one authority: where another vouches for Kiln itself, it could not come there."""
    found = stage(mqtt_ca=authority, base_url="https://kiln.example").archive("desk-1")

    assert (f"desk-1/{CA}" in found.names, tls(found)) == (False, None)
    readme = " ".join(found.files["desk-1/README.txt"].decode().split())
    assert "NOBODY IS VERIFIED. Set KILN_DEVICE_CA to the certificate that vouches" in readme


def test_who_vouches_for_both_may_be_said(stage: Made, authority: str) -> None:
    found = stage(device_ca=authority, base_url="https://kiln.example").archive("desk-1")

    assert (found.files[f"desk-1/{CA}"], tls(found)) == (pathlib.Path(authority).read_bytes(), TLS)
    assert "NOBODY IS VERIFIED" not in found.files["desk-1/README.txt"].decode()


def test_without_an_authority_there_is_no_file(stage: Made) -> None:
    found = stage().archive("desk-1")

    assert (f"desk-1/{CA}" in found.names, tls(found)) == (False, None)


def test_files_of_a_folder_have_it_too(
    stage: Made, authority: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, port = stage(mqtt_ca=authority), free_port()
    of = "--repository github/acme/secret --board esp32-generic"

    with http_server(made.site.app, port):
        terminal = Terminal(port, capsys, tmp_path)
        _, device = terminal.run(f"devices add roof {of} --output HERE/roof")
        _, claim = terminal.run(f"devices claim make {of} --output HERE/code")

    for said, folder, name in ((device, tmp_path / "roof", "device"), (claim, tmp_path / "code", "claim")):
        assert (folder / "ca.pem").read_bytes() == pathlib.Path(authority).read_bytes()
        assert json.loads((folder / f"{name}.json").read_text())["tls"] == TLS
        assert str(folder / "ca.pem") in said["written"]


def test_of_several_certificates_a_board_gets_the_one_that_it_reads(tmp_path: pathlib.Path, authority: str) -> None:
    first = pathlib.Path(authority).read_text()
    (tmp_path / "two.pem").write_bytes(f"# für uns\n{first}{certificates(tmp_path, '127.0.0.2')}".encode("latin-1"))

    two = str(tmp_path / "two.pem")
    assert device_authority(two, "") == first
    assert device_authority(two, authority) == first
    assert device_authority("", authority) == first
    assert device_authority("", two) == ""  # which of them vouches for the broker, nobody said
    assert device_authority("", "") == ""


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_said_at_the_start(stage: Made, tmp_path: pathlib.Path, content: str) -> None:
    (tmp_path / "bad.pem").write_text(content)

    with pytest.raises(BadInputError, match="KILN_DEVICE_CA, or else KILN_MQTT_CA"):
        stage(device_ca=str(tmp_path / "bad.pem"))
