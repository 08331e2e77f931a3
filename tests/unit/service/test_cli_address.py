"""Where the command line looks for Kiln."""

import pathlib

import pytest

from service import __main__ as kiln


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"KILN_PORT": "18101"}, "http://127.0.0.1:18101"),
        ({"KILN_PORT": "18101", "KILN_URL": "https://kiln.example"}, "https://kiln.example"),
        ({"KILN_URL": ""}, "http://127.0.0.1:8080"),
    ],
)
def test_it_looks_where_the_same_environment_has_kiln_listen(
    said: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for name in ("KILN_PORT", "KILN_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"KILN_TOKEN": "t", "KILN_DATA": str(tmp_path), **said}.items():
        monkeypatch.setenv(name, value)

    assert kiln._client().url == address


def test_a_token_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of another user, whose folder this is."""
    (tmp_path / "admin.token").mkdir()
    monkeypatch.delenv("KILN_TOKEN", raising=False)
    monkeypatch.setenv("KILN_DATA", str(tmp_path))

    assert kiln.main(["repos", "list"]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"kiln: {tmp_path}/admin.token cannot be read (")
    assert said.endswith("): set KILN_TOKEN\n")
