"""kiln.toml: what it says, and what it says about what is wrong with it."""

import pytest
from hypothesis import given, strategies as st

from runners.contract.board import Catalogue
from runners.contract.manifest import MAX_MANIFEST_BYTES, Manifest, ManifestError

CATALOGUE = Catalogue.load()
WHOLE = """
[firmware]
name = "greenhouse"
family = "micropython"
source = "src"
boards = ["esp32-generic", "esp8266-generic", "unix"]
micropython = "1.28"
exclude = ["*.md"]

[boards.esp8266-generic]
overlay = "boards/esp8266"
exclude = ["tests/**"]
[boards.unix]
overlay = "src/unix"

[settings.WIFI_SSID]
help = "network the board joins"
[settings.PASSWORD]
type = "secret"
[settings.PERIOD_S]
type = "integer"
default = 60
minimum = 5
[settings.MODE]
type = "choice"
choices = ["day", "night"]
default = "day"

[channels]
main = "beta"
"v*" = "stable"
"refs/heads/try/*" = "dev"

[wiring]
harness = "wiring.yml"
"""


def parse(text: str | None) -> Manifest:
    return Manifest.parse(text, default_name="blink", catalogue=CATALOGUE)


def complaint(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        parse(text)
    return str(caught.value)


def test_everything_is_optional() -> None:
    manifest = parse(None)

    assert (manifest.name, manifest.family, manifest.boards) == ("blink", "micropython", ("esp32-generic",))
    assert (manifest.source, manifest.micropython, manifest.settings) == (".", "1.28", ())


def test_a_repository_name_becomes_a_firmware_name() -> None:
    manifest = Manifest.parse("", default_name="тест my repo!" * 20, catalogue=CATALOGUE)

    assert manifest.name.startswith("my-repo-")
    assert len(manifest.name) <= 64


def test_a_whole_manifest_is_read() -> None:
    manifest = parse(WHOLE)

    assert manifest.name == "greenhouse"
    assert manifest.boards == ("esp32-generic", "esp8266-generic", "unix")
    assert manifest.harness == "wiring.yml"
    specs = {each.name: each for each in manifest.settings}
    assert (specs["WIFI_SSID"].type, specs["PASSWORD"].type) == ("string", "secret")
    assert (specs["PERIOD_S"].default, specs["PERIOD_S"].minimum) == (60, 5)
    assert (specs["MODE"].choices, specs["MODE"].default) == (("day", "night"), "day")


def test_each_board_gets_its_options_and_no_overlay_of_another() -> None:
    manifest = parse(WHOLE)

    esp8266, esp32 = manifest.options_for("esp8266-generic"), manifest.options_for("esp32-generic")

    assert (esp8266.source, esp8266.overlay, esp8266.arch) == ("src", "boards/esp8266", "xtensa")
    assert esp8266.exclude == ("*.md", "tests/**", "unix/**")
    assert (esp32.overlay, esp32.exclude, esp32.arch) == (None, ("*.md", "unix/**"), "xtensawin")


@pytest.mark.parametrize(
    ("text", "ref", "channel"),
    [
        ("", "refs/heads/main", "beta"),
        ("", "refs/heads/master", "beta"),
        ("", "refs/tags/v1.2", "stable"),
        ("", "refs/tags/v1.2.0-rc.1", "beta"),
        ("", "refs/heads/v2-experiment", None),
        ("", "refs/heads/feature", None),
        (WHOLE, "refs/tags/v1.2", "stable"),
        (WHOLE, "refs/heads/try/this", "dev"),
        (WHOLE, "refs/tags/try/this", None),
        (WHOLE, "refs/heads/master", None),
    ],
)
def test_a_ref_feeds_a_channel(text: str, ref: str, channel: str | None) -> None:
    assert parse(text).channel_for(ref) == channel


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[firmware]\n\nbords = ["unix"]', 'line 3: unknown key "bords" in [firmware]; did you mean "boards"?'),
        ('[firmwares]\nname = "x"', 'line 1: unknown key "firmwares"; did you mean "firmware"?'),
        ('[firmware]\nboards = [\n "unix",\n "esp32-generc",\n]', "line 4: unknown board 'esp32-generc'; did you mean"),
        ('[firmware]\nboards = ["unix", "unix"]', 'line 2: "boards" names unix twice'),
        ("[firmware]\nboards = []", 'line 2: "boards" is empty'),
        ('[firmware]\nboards = "unix"', 'line 2: "boards" must be a list'),
        ("[firmware]\nboards = [1]", 'line 2: "boards" must list text in quotes, not 1'),
        ("[firmware]\nmicropython = 1.28", 'line 2: "micropython" must be text in quotes, not 1.28'),
        ('[firmware]\nmicropython = "1.28.0"', 'line 2: "micropython" is major.minor'),
        ('[firmware]\nmicropython = "1.18"', "line 2: MicroPython 1.18 makes .mpy files of version 5"),
        ('[firmware]\nsource = "/etc"', 'line 2: "source" must be a path inside the repository'),
        ('[firmware]\nsource = "a/../../b"', 'line 2: "source" must be a path inside the repository'),
        ('[firmware]\nsource = "a\\u0007b"', 'line 2: "source" holds a control character'),
        ('[firmware]\nname = "../x"', 'line 2: "name" has letters'),
        ('[firmware]\nfamily = "arduino"', 'line 2: unknown family "arduino"; did you mean "arduino-avr"?'),
        (
            '[firmware]\nfamily = "arduino-avr"\nboards = ["esp32-generic"]',
            'line 2: esp32-generic is a board of family "micropython"',
        ),
        ('[boards.unix]\noverlay = "x"', 'line 1: [boards.unix] is not in "boards" of [firmware]'),
        ('[firmware]\nboards=["unix"]\n[boards.unix]\noverlay="../x"', 'line 4: "overlay" must be a path'),
        ('\n[settings.A]\ntype = "int"', 'line 3: "int" is not a type of setting'),
        ('[settings.A]\ntype = "secret"\ndefault = "x"', "line 3: A is a secret"),
        ('[settings.A]\ntype = "integer"\nminimum = 5\ndefault = 1', "line 4: the default of A must be at least 5"),
        ('[settings.A]\ntype = "integer"\ndefault = true', "line 3: the default of A must be a whole number"),
        ('[settings.A]\ntype = "choice"', 'line 1: "choices" belongs to'),
        ('[settings."a b"]\ntype = "string"', "line 1: a setting's name has"),
        ("[settings.A]\nminimum = 1", 'line 2: "minimum" must be a number, and belongs to'),
        ('[channels]\nmain = "St able"', "line 2: a channel has a-z"),
        ('[wiring]\nharnes = "x"', 'line 2: unknown key "harnes" in [wiring]'),
        ("[firmware]\nname =", "line 2: invalid value"),
        ("[firmware]\n[firmware]", "line 2: cannot declare"),
        ("firmware = 5", 'line 1: "firmware" must be a table'),
        (
            '[boards.esp32-generic]\n\nflash = "3M"',
            'line 3: esp32-generic has no flash of "3M": only 4M, 8M, 16M',
        ),
        ('[firmware]\nboards = ["unix"]\n[boards.unix]\nflash = "1M"', 'line 4: unix has no flash of "1M": its flash'),
        ("[boards.esp32-generic]\nflash = 4", 'line 2: "flash" must be text in quotes'),
        (
            '[firmware]\nboards = ["esp8266-generic"]\n[boards.esp8266-generic]\nflash = "512K"',
            "line 4: MicroPython has no file system on esp8266-generic with a flash of 512K",
        ),
        (
            '[firmware]\nboards = ["esp32-s3-generic"]\n[boards.esp32-s3-generic]\nvariant = "flash-4m"\nflash = "16M"',
            'line 5: esp32-s3-generic: the variant "flash-4m" is for a flash of 4M, not 16M',
        ),
        (
            '[boards.esp32-generic]\nvariant = "spram"',
            'line 2: esp32-generic has no variant "spram"; did you mean "spiram"?',
        ),
        (
            '[firmware]\nboards = ["rpi-pico"]\n[boards.rpi-pico]\nvariant = "x"',
            'line 4: rpi-pico has no variant "x": it has none',
        ),
        (
            '[firmware]\nboards = ["rpi-pico2"]\nmicropython = "1.23"',
            "line 3: rpi-pico2 needs MicroPython 1.24 or newer, not 1.23",
        ),
    ],
)
def test_a_mistake_names_its_line(text: str, said: str) -> None:
    assert complaint(text).startswith(f"kiln.toml {said}")


def test_too_much_is_refused() -> None:
    assert "larger than" in complaint("#" * (MAX_MANIFEST_BYTES + 1))
    assert "lists 33 things, at most 32" in complaint(f"[firmware]\nboards = {['unix'] * 33}")
    assert "at most 128 are allowed" in complaint("".join(f"[settings.S{n}]\n" for n in range(129)))


@given(st.text(alphabet='[]{}="\n.abfirmwaeboards1,# \x00é', max_size=200))
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    assert outcome(text).startswith(("kiln.toml", "boards: "))


def outcome(text: str) -> str:
    try:
        return f"boards: {parse(text).boards}"
    except ManifestError as error:
        return str(error)


def test_flash_and_variant_reach_the_job_of_their_board() -> None:
    text = """
    [firmware]
    boards = ["esp8266-generic", "esp32-generic"]
    [boards.esp8266-generic]
    flash = "1M"
    [boards.esp32-generic]
    variant = "spiram"
    """
    manifest = Manifest.parse(text, default_name="x", catalogue=CATALOGUE)

    told = {board: manifest.options_for(board) for board in manifest.boards}

    assert (told["esp8266-generic"].flash, told["esp8266-generic"].variant) == ("1M", "")
    assert (told["esp32-generic"].flash, told["esp32-generic"].variant) == ("", "spiram")


@pytest.mark.parametrize(("version", "arch"), [("1.23", None), ("1.24", "rv32imc")])
def test_native_code_is_asked_for_where_the_compiler_knows_it(version: str, arch: str | None) -> None:
    text = f'[firmware]\nboards = ["esp32-c3-generic"]\nmicropython = "{version}"'

    options = Manifest.parse(text, default_name="x", catalogue=CATALOGUE).options_for("esp32-c3-generic")

    assert options.arch == arch


def test_a_family_without_a_recipe_is_refused() -> None:
    catalogue = Catalogue.parse('[toaster]\nfamily = "bread"\nchip = "TOAST1"')

    with pytest.raises(ManifestError, match='line 2: this Kiln does not build for boards of family "bread"'):
        Manifest.parse('[firmware]\nboards = ["toaster"]', default_name="x", catalogue=catalogue)
