"""`kiln boards`, without any service."""

import json
import os
import subprocess
import sys

import pytest

from deploy.demo.parts import ROOT
from runners.contract.board import Catalogue
from service.__main__ import main


def test_boards_are_listed_for_people_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards"]) == 0

    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["board", "family"]
    assert [line.split()[0] for line in lines] == list(Catalogue.load().names)
    esp8266 = next(line for line in lines if line.startswith("esp8266-generic "))
    assert "4M, 2M, 1M, 512K" in esp8266
    assert "littlefs 3052K / 1004K / 392K / none" in esp8266


def test_boards_are_listed_for_programs_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards", "--json"]) == 0

    boards = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert boards["esp32-generic"]["flash"]["sizes"]["8M"]["file_system_at"] == 0x200000
    assert boards["arduino-uno"]["avr"]["mcu"] == "atmega328p"


def test_a_reader_who_has_seen_enough_is_no_trouble() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "service", "boards", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")
