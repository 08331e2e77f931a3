"""What a repository says about building it: kiln.toml, or the files of a Pepeunit unit."""

import json
from typing import Any

import pytest

from runners.contract.board import Catalogue
from runners.contract.job import Options
from runners.contract.manifest import DEFAULT_BOARDS, Manifest, ManifestError
from runners.contract.pepeunit import MAX_FILE_BYTES, MAX_TOPICS
from runners.contract.repository import read
from runners.contract.setting import MAX_SETTINGS, MAX_TEXT_CHARS

CATALOGUE = Catalogue.load()
SCHEMA = {
    "input_base_topic": ["update/pepeunit", "env_update/pepeunit"],
    "output_base_topic": ["state/pepeunit"],
    "input_topic": [],
    "output_topic": ["current_temp/pepeunit"],
}
ENV = {
    "PIN_PROBE": 12,
    "PERIOD_S": 2.5,
    "IS_INVERTED": False,
    "LABEL": "greenhouse",
    "WEATHER_API_KEY": "key",
    "PUC_WIFI_SSID": "ssid",
    "PUC_WIFI_PASS": "password",
    "PU_DOMAIN": "unit.example.com",
    "PU_MQTT_PORT": 1883,
    "PU_AUTH_TOKEN": "jwt_token",
    "PU_SECRET_KEY": "32_bit_secret_key",
    "PU_ENCRYPT_KEY": "32_bit_encrypt_key",
}


def unit(schema: Any = SCHEMA, env: Any = ENV, about: str = "", manifest: str | None = None) -> dict[str, bytes]:
    files = {
        "schema_example.json": schema if isinstance(schema, bytes) else json.dumps(schema).encode(),
        "env_example.json": env if isinstance(env, bytes) else json.dumps(env).encode(),
    }
    if about:
        files["pepeunit.toml"] = about.encode()
    if manifest is not None:
        files["kiln.toml"] = manifest.encode()
    return files


def manifest_of(files: dict[str, bytes]) -> Manifest:
    return read(files, default_name="probe", catalogue=CATALOGUE)


def complaint(files: dict[str, bytes]) -> str:
    with pytest.raises(ManifestError) as caught:
        manifest_of(files)
    return str(caught.value)


def test_a_repository_without_any_of_the_files_has_the_defaults() -> None:
    assert manifest_of({}) == Manifest.parse(None, default_name="probe", catalogue=CATALOGUE)


def test_settings_come_from_the_example_without_what_is_secret_or_of_one_device() -> None:
    found = manifest_of(unit())

    assert {each.name: (each.type, each.default) for each in found.settings} == {
        "PIN_PROBE": ("integer", 12),
        "PERIOD_S": ("number", 2.5),
        "IS_INVERTED": ("boolean", False),
        "LABEL": ("string", "greenhouse"),
        "WEATHER_API_KEY": ("secret", None),
        "PUC_WIFI_SSID": ("string", None),
        "PUC_WIFI_PASS": ("secret", None),
        "PU_DOMAIN": ("string", None),
        "PU_MQTT_PORT": ("integer", 1883),
        "PU_AUTH_TOKEN": ("secret", None),
        "PU_SECRET_KEY": ("secret", None),
        "PU_ENCRYPT_KEY": ("secret", None),
    }
    assert (found.name, found.layout, found.boards) == ("probe", "pepeunit", DEFAULT_BOARDS)


def test_the_texts_about_settings_become_their_help() -> None:
    about = '[env_description]\nPIN_PROBE = "GPIO of\\n the probe"\nLABEL = 5\nGONE = "x"\n'

    helps = {each.name: each.help for each in manifest_of(unit(about=about)).settings}

    assert (helps["PIN_PROBE"], helps["LABEL"]) == ("GPIO of the probe", "")


@pytest.mark.parametrize(
    ("hardware", "boards"),
    [
        (["esp32", "ds18b20"], ("esp32-generic",)),
        (["ESP8266", "esp32", "relay"], ("esp8266-generic", "esp32-generic")),
        (["ESP32-S3", "esp32s3"], ("esp32-s3-generic",)),
        (["RP2040"], ("rpi-pico-w",)),
        (["Raspberry Pi Pico"], ("rpi-pico",)),
        (["pico-w", "esp32-generic"], ("rpi-pico-w", "esp32-generic")),
        (["NodeMCU v3"], ("esp8266-generic",)),
        (["esp32c3", "ESP32-C6", "esp32s2"], ("esp32-c3-generic", "esp32-c6-generic", "esp32-s2-generic")),
        (["rp2350", "arduino-uno"], ("rpi-pico2-w",)),
        ([], DEFAULT_BOARDS),
    ],
)
def test_words_about_hardware_that_are_boards_are_built_for(hardware: list[str], boards: tuple[str, ...]) -> None:
    about = f'[general]\nname = "probe"\nhardware = {json.dumps(hardware)}\n'

    assert manifest_of(unit(about=about)).boards == boards


@pytest.mark.parametrize(
    ("about", "boards"),
    [
        (b"[general", DEFAULT_BOARDS),
        (b"general = 5", DEFAULT_BOARDS),
        (b"\xff", DEFAULT_BOARDS),
        (b"#" * (MAX_FILE_BYTES + 1), DEFAULT_BOARDS),
        (b"[general]\nhardware = 5\n", DEFAULT_BOARDS),
        (b'[general]\nhardware = "esp8266"\n', ("esp8266-generic",)),
        (b'[general]\nhardware = [5, "esp8266"]\n', ("esp8266-generic",)),
        (b'env_description = 5\n[general]\nhardware = ["esp8266"]\n', ("esp8266-generic",)),
    ],
)
def test_what_cannot_be_read_of_the_file_for_people_stops_nothing(about: bytes, boards: tuple[str, ...]) -> None:
    manifest = manifest_of({**unit(), "pepeunit.toml": about})

    assert (manifest.boards, len(manifest.settings)) == (boards, len(ENV))


def test_hardware_without_a_board_asks_for_one() -> None:
    said = complaint(unit(about='[general]\nhardware = ["ds18b20", "unix"]\n'))

    assert said.startswith("pepeunit.toml: nothing in hardware = [ds18b20, unix] is a board that Kiln builds for: add")
    assert "esp32-generic" in said
    assert 'kiln.toml with [firmware] boards = ["..."]' in said


def test_what_kiln_toml_says_holds_and_the_unit_says_the_rest() -> None:
    about = '[general]\nhardware = ["esp8266"]\n'
    said = manifest_of(unit(about=about, manifest='[firmware]\nmicropython = "1.22"\n'))
    boards = manifest_of(unit(about=about, manifest='[firmware]\nboards = ["esp32-generic"]\n[settings.X]\n'))

    assert (said.micropython, said.boards, len(said.settings)) == ("1.22", ("esp8266-generic",), len(ENV))
    assert (boards.boards, [each.name for each in boards.settings]) == (("esp32-generic",), ["X"])
    assert said.layout == boards.layout == "pepeunit"


def test_files_of_these_names_that_mean_something_else_do_not_matter_beside_kiln_toml() -> None:
    assert manifest_of(unit(schema={"type": "object"}, manifest="")).layout == "kiln"
    assert manifest_of({"env_example.json": b"nonsense"}).layout == "kiln"


def test_the_job_knows_names_and_layout() -> None:
    options = manifest_of(unit(env={"PIN": 1})).options_for("esp32-generic")

    assert (options.settings, options.layout) == (("PIN",), "pepeunit")
    assert Options().layout == "kiln"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (unit(schema={**SCHEMA, "more": []}), "schema_example.json has 'more' besides: it must have exactly the keys"),
        (
            unit(schema={"input_topic": []}),
            "schema_example.json lacks input_base_topic, output_base_topic, output_topic",
        ),
        (unit(schema={**SCHEMA, "input_topic": "x"}), "schema_example.json: input_topic must be a list of at most"),
        (unit(schema={**SCHEMA, "input_topic": ["x"] * (MAX_TOPICS + 1)}), f"a list of at most {MAX_TOPICS} topics"),
        (unit(schema={**SCHEMA, "input_topic": ["a b"]}), "schema_example.json: 'a b' in input_topic is no topic"),
        (unit(schema={**SCHEMA, "input_topic": [5]}), "schema_example.json: '5' in input_topic is no topic"),
        (unit(schema=b"[]"), "schema_example.json must be an object"),
        (unit(schema=b'{\n"a": }'), "schema_example.json line 2: expecting value"),
        (unit(env=b"\xff"), "env_example.json is not UTF-8"),
        (unit(env=b" " * (MAX_FILE_BYTES + 1)), f"env_example.json is larger than {MAX_FILE_BYTES} bytes"),
        (unit(env=b'{"A": ' + b"[" * 30000 + b"]" * 30000 + b"}"), "env_example.json: a number or a list in it is too"),
        (unit(env=b'{"A": ' + b"9" * 5000 + b"}"), "env_example.json: a number or a list in it is too large"),
        (unit(env=b'{"A": NaN}'), "env_example.json: A must be text, a number, true or false, not nan"),
        (unit(env=b'{"A": "\\ud800"}'), "env_example.json: there is half a character in it"),
        (unit(env={"A": 2**63}), "env_example.json: A must be text, a number, true or false, not 9223"),
        (unit(env={"A": [1, 2]}), "env_example.json: A must be text, a number, true or false, not [1, 2]"),
        (unit(env={"A B": 1}), "env_example.json: a setting's name has letters, digits and '_', at most 64: 'A B'"),
        (unit(env={f"A{n}": 1 for n in range(MAX_SETTINGS + 1)}), f"at most {MAX_SETTINGS} are allowed"),
        (unit(env={"A": "x" * (MAX_TEXT_CHARS + 1)}), f"A must be text of at most {MAX_TEXT_CHARS} characters"),
        ({"kiln.toml": b"\xff"}, "kiln.toml is not UTF-8"),
        ({"kiln.toml": b"#" * (MAX_FILE_BYTES + 1)}, f"kiln.toml is larger than {MAX_FILE_BYTES} bytes"),
    ],
)
def test_what_cannot_be_read_is_told_by_file_and_place(files: dict[str, bytes], said: str) -> None:
    assert said in complaint(files)
