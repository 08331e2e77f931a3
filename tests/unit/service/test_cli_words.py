"""What is typed as a name or a number, and what commands say of themselves."""

import argparse
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service import __main__ as kiln, cli
from service.cli import words
from service.cli.client import Client, CommandError

NUMBERS = ["0", "-1", "x", "1.5", "", "\u0661", "1" * 19, "nan"]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="kiln")
    cli.add_commands(made.add_subparsers(required=True))
    return made


def commands(of: argparse.ArgumentParser, name: str = "kiln") -> Iterator[tuple[str, str | None]]:
    """Each command and the help that its parent shows."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            shown = {each.dest: each.help for each in action._choices_actions}
            for word, below in action.choices.items():
                yield f"{name} {word}", shown.get(word)
                yield from commands(below, f"{name} {word}")


def test_every_command_says_what_it_does() -> None:
    said = dict(commands(parser()))

    assert len(said) > 80
    assert [name for name, text in said.items() if not text] == []


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize(
    "line", ["releases show {}", "rollouts show {}", "builds cancel {}", "devices pin d1 {}", "audit list --limit={}"]
)
def test_a_number_that_is_none_is_named(line: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([word.format(text) for word in line.split(" ")])

    assert f"{text[:40]!r} is no whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e999"])
def test_hours_that_cannot_be_are_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["rollouts", "plan", "beta", "--repository", "r", f"--soak={text}"])

    assert f"{text!r} is no number of hours" in capsys.readouterr().err
    assert math.isclose(words.hours("1.5"), 1.5)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../repositories"])
def test_what_no_address_can_hold_is_no_name(name: str) -> None:
    with pytest.raises(CommandError, match=f"no device '{name}'"):
        words.part(name, "device")


def test_a_name_stays_one_part_of_an_address() -> None:
    assert words.part("a b?c#d%2Fé", "device") == "a%20b%3Fc%23d%252F%C3%A9"


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("x", "t", "'x' is no address of a Kiln: it begins with http:// or https://"),
        ("file:///etc/passwd", "t", "'file:///etc/passwd' is no address of a Kiln"),
        ("http://127.0.0.1:1", "é", "that is no token"),
        ("http://127.0.0.1:1", "a\nb", "that is no token"),
    ],
)
def test_an_address_or_a_token_that_cannot_be_is_said(url: str, token: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        Client(url=url, token=token).call("GET", "/")


def test_who_interrupts_a_command_sees_no_more_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def waits(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setenv("KILN_TOKEN", "t")
    monkeypatch.setattr(cli, "run", waits)

    assert kiln.main(["repos", "list"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["serve", "service", "broker"])
def test_a_data_folder_that_is_none_is_named(
    command: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kiln, "_log", lambda: None)
    monkeypatch.setenv("KILN_DATA", str(tmp_path / "file" / "data"))
    (tmp_path / "file").write_text("of somebody")

    assert kiln.main([command]) == 2
    assert capsys.readouterr().err == f"kiln: {tmp_path}/file/data cannot be used: Not a directory\n"


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"id": 1, "key": "x", "mqtt_password": ""}'])
def test_a_damaged_instance_is_named(
    text: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kiln, "_log", lambda: None)
    monkeypatch.setenv("KILN_DATA", str(tmp_path))
    (tmp_path / "instance.json").write_text(text)

    assert kiln.main(["serve"]) == 2
    assert capsys.readouterr().err == f"kiln: {tmp_path}/instance.json is damaged: restore it from a backup\n"
