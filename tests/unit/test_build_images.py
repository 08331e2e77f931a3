"""What is written into build images before they are made."""

import importlib.util
import pathlib
import re
from types import ModuleType

import pytest

from runners.contract.board import Catalogue
from runners.contract.own_image import adopted
from runners.recipes.own_image import SPEAKS
from runners.verdict import ENTRY

FOLDER = pathlib.Path(__file__).parents[2] / "build-images"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """A stand-alone script, which a bare machine runs before anything is installed."""
    spec = importlib.util.spec_from_file_location("build_images", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_arduino_boards_of_the_catalogue_are_in_the_image(build: ModuleType) -> None:
    boards = {each.name: each for each in Catalogue.load().boards.values() if each.family == "arduino-avr"}
    lines = dict(line.split("=", 1) for line in build.boards_txt("arduino-avr").splitlines())

    assert set(boards) == {key.removesuffix(".name") for key in lines if key.endswith(".name")} != set()
    for name, board in boards.items():
        assert lines[f"{name}.build.mcu"] == board.avr["mcu"]
        assert lines[f"{name}.build.f_cpu"] == f"{board.avr['f_cpu']}L"
        assert lines[f"{name}.build.variant"] == f"arduino:{board.avr['variant']}"
    assert build.boards_txt("micropython") == ""


def test_a_change_of_a_board_makes_the_image_anew(build: ModuleType, tmp_path: pathlib.Path) -> None:
    changed = tmp_path / "boards.toml"
    changed.write_text(build.CATALOGUE.read_text().replace("16000000", "8000000"))
    before = {each: build.inputs_digest(each) for each in ("arduino-avr", "micropython")}
    after = {each: build.inputs_digest(each, changed) for each in before}

    assert before["micropython"] == after["micropython"]
    assert before["arduino-avr"] != after["arduino-avr"]


@pytest.mark.parametrize("name", ["acme/zephyr@sha256:00", ":1", "/"])
def test_only_a_name_is_adopted(build: ModuleType, name: str) -> None:
    with pytest.raises(build.BuildImageError, match="an image is adopted by a name like"):
        build.adopt(name)


def test_every_wheel_of_platformio_is_pinned_by_its_digest() -> None:
    text = (FOLDER / "platformio" / "wheels.txt").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})$", text, re.MULTILINE)

    assert len(pins) == text.count("==") > 10
    assert {"platformio", "scons", "pip"} <= {name for name, _, _ in pins}


def test_runners_know_the_first_process_and_the_recipe_of_this_checkout(build: ModuleType) -> None:
    assert build.said(FOLDER / "entry") == ENTRY[1]
    assert build.said(FOLDER / "own" / "recipe") == SPEAKS[1]
    assert [each for each in FOLDER.glob("*/Dockerfile") if f'{ENTRY[0]}="${{ENTRY}}"' not in each.read_text()] == []


def test_own_images_are_named_alike_on_both_sides(build: ModuleType) -> None:
    assert build.adopted_name("acme/zephyr") == adopted("acme/zephyr")
    assert build.adopted_name("acme/zephyr:3.7") == adopted("acme/zephyr:3.7")
