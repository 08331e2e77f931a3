"""Files that hold secrets, where something was already."""

import os
import pathlib
import stat

import pytest

from service.cli import install
from service.cli.client import CommandError
from service.cli.secret_files import secret_file


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_may_read_it_from_the_first_byte_on(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "device.json"
    path.write_text("of an older device")
    path.chmod(0o644)

    with path.open() as reader, secret_file(path) as file:  # somebody has the old one open
        file.write(b"token")
        file.flush()
        modes = {each.name: mode(each) for each in tmp_path.iterdir()}

        assert modes == {"device.json": 0o644, ".device.json.part": 0o600}
        assert reader.read() == "of an older device"

    assert (path.read_bytes(), mode(path)) == (b"token", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def stopped(path: pathlib.Path) -> None:
    with secret_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_what_ends_early_leaves_what_was_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "device.json"
    path.write_text("of an older device")
    (tmp_path / ".device.json.part").write_text("of an attempt that was killed")

    with pytest.raises(KeyboardInterrupt):
        stopped(path)

    assert path.read_text() == "of an older device"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere").write_text("public")
    path = tmp_path / "claim.json"
    path.symlink_to("elsewhere")

    said = install.write_secret(path, {"code": "4X7QP"})

    assert said == str(path)
    assert not path.is_symlink()
    assert (path.read_text(), mode(path)) == ('{\n  "code": "4X7QP"\n}\n', 0o600)
    assert (tmp_path / "elsewhere").read_text() == "public"


def test_a_folder_that_is_not_there_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CommandError, match=r"none/device\.json cannot be written: there is no folder .*none$"):
        install.write_secret(tmp_path / "none" / "device.json", {})


def test_the_rights_do_not_hang_on_the_umask(tmp_path: pathlib.Path) -> None:
    before = os.umask(0)
    try:
        install.write_secret(tmp_path / "device.json", {})
    finally:
        os.umask(before)

    assert mode(tmp_path / "device.json") == 0o600
