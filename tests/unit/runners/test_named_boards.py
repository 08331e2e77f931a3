"""Boards that a repository names itself: environments of platformio.ini, and what an image of one's own builds for."""

import time

import pytest
from hypothesis import given, strategies

from runners.contract.board import Catalogue
from runners.contract.manifest import Manifest, ManifestError
from runners.contract.own_image import adopted
from runners.contract.platformio import environments

CATALOGUE = Catalogue.load()
PLATFORMIO = '[firmware]\nfamily = "platformio"\n'
OWN = '[build]\nimage = "acme/zephyr:3.7"\ncommand = ["make", "all"]\noutputs = ["build/*.hex"]\n'
INI = """\
; a comment
[platformio]
default_envs = uno, mega ; the usual ones
src_dir = code

[env]
framework = arduino
build_flags =
    -DNAME='"${PIOENV}"'
    -Wall

[env:uno]
platform = atmelavr
board = uno

[env:mega]
extends = env:uno
board = megaatmega2560

[env:esp32_S3]
platform = espressif32@${common.version}

[common]
version = 6
"""


def manifest(text: str, files: dict[str, str] | None = None) -> Manifest:
    return Manifest.parse(text, default_name="blink", catalogue=CATALOGUE, read=(files or {}).get)


def complaint(text: str, files: dict[str, str] | None = None) -> str:
    with pytest.raises(ManifestError) as caught:
        manifest(text, files)
    return str(caught.value)


def test_environments_are_sections_and_the_default_ones_are_named() -> None:
    assert environments(INI) == (("uno", "mega", "esp32_S3"), ("uno", "mega"))


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("[env:a]\n[env:b]\n", ("a", "b")),
        ("[platformio]\ndefault_envs =\n  b\n  c\n[env:a]\n[env:b]\n[env:c]\n", ("b", "c")),
        ("[platformio]\ndefault_envs = ${sysenv.WHICH}\n[env:a]\n", ("a",)),
        ("[platformio]\ndefault_envs = gone\n[env:a]\n", ("a",)),
        ("\ufeff[env:a]\r\nboard = x\r\n", ("a",)),
        ("[env:a]\nx = 1\n[env:a]\nx = 2\n", ("a",)),
    ],
    ids=["all", "lines", "interpolated", "none of them", "byte order mark", "twice"],
)
def test_which_environments_are_built_when_nobody_says(text: str, default: tuple[str, ...]) -> None:
    assert environments(text)[1] == default


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "platformio.ini has no environment: it needs a section like [env:uno]"),
        ("board = uno\n", "platformio.ini line 1: not a section, an option or a comment"),
        ("[env:a]\nwhat is this\n", "platformio.ini line 2: not a section, an option or a comment"),
        ("".join(f"[env:e{n}]\n" for n in range(201)), "platformio.ini has 201 environments, at most 200 are allowed"),
        ("[env:a]\n#" + "x" * 65536, "platformio.ini is larger than 65536 bytes"),
    ],
)
def test_what_is_no_configuration_says_why(text: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        environments(text)
    assert str(caught.value) == said


@given(strategies.text(alphabet="[]env:=ab \n\t;#%${}\x00\ufeff\ud800", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found, default = environments(text)
    except ManifestError:
        return
    assert found
    assert set(default) <= set(found)


def test_a_hostile_file_costs_little() -> None:
    began = time.process_time()
    for text in ("[env:a]\nx =\n" + " y\n" * 20_000, "[env:a]\n" + "k=v\n" * 16_000, "[" * 60_000):
        try:
            environments(text)
        except ManifestError:
            continue
    assert time.process_time() - began < 2


def test_boards_are_the_default_environments_or_those_that_are_named() -> None:
    files = {"platformio.ini": INI, "app/platformio.ini": "[env:x]\n"}

    assert manifest(PLATFORMIO, files).boards == ("uno", "mega")
    named = manifest(PLATFORMIO + 'boards = ["esp32_S3"]\n', files)
    assert (named.boards, named.family, named.board("esp32_S3").family) == (("esp32_S3",), "platformio", "platformio")
    assert manifest(PLATFORMIO + 'source = "app"\n', files).boards == ("x",)


@pytest.mark.parametrize(
    ("text", "files", "said"),
    [
        (PLATFORMIO, {}, "line 2: there is no platformio.ini, or it is no text file of a moderate size"),
        (
            PLATFORMIO + 'boards = ["unoo"]\n',
            {"platformio.ini": INI},
            'line 3: platformio.ini has no environment "unoo"; did you mean "uno"?',
        ),
        (PLATFORMIO + "boards = []\n", {"platformio.ini": INI}, 'line 3: "boards" is empty'),
        (PLATFORMIO + 'boards = ["uno", "uno"]\n', {"platformio.ini": INI}, 'line 3: "boards" names uno twice'),
        (PLATFORMIO, {"platformio.ini": "[env:a/../b]\n"}, "the name of a board has letters, digits"),
        (PLATFORMIO, {"platformio.ini": f"[env:{'a' * 41}]\n"}, "the name of a board has letters, digits"),
        (
            PLATFORMIO,
            {"platformio.ini": "".join(f"[env:e{n}]\n" for n in range(33))},
            'has 33 environments: name at most 32 of them as "boards"',
        ),
        ('[firmware]\nfamily = "arduino"\n', {}, 'line 2: unknown family "arduino"; did you mean "arduino-avr"?'),
        (
            '[firmware]\nfamily = "arduino-avr"\n',
            {},
            'line 2: family "arduino-avr" needs "boards": name at least one board of it',
        ),
        ('[firmware]\nfamily = "own"\n', {}, 'family "own" needs "image", "command" and "outputs" in [build]'),
        (PLATFORMIO + OWN, {"platformio.ini": INI}, '[build] names an image: "family" is then "own", or left out'),
        ('[firmware]\nboards = ["a b"]\n' + OWN, {}, "the name of a board has letters, digits"),
    ],
)
def test_what_is_wrong_with_boards_is_said(text: str, files: dict[str, str], said: str) -> None:
    assert said in complaint(text, files)


def test_an_image_of_ones_own_is_told_with_a_command_and_globs() -> None:
    found = manifest(OWN)
    options = found.options_for("firmware")

    assert (found.family, found.boards) == ("own", ("firmware",))
    assert (options.image, options.command) == ("acme/zephyr:3.7", ("make", "all"))
    assert options.outputs == ("build/*.hex",)
    assert manifest('[firmware]\nfamily = "own"\nboards = ["a", "B_2"]\n' + OWN).boards == ("a", "B_2")


def test_a_manifest_without_an_image_of_ones_own_has_none() -> None:
    options = manifest('[firmware]\nboards = ["arduino-uno"]\n').options_for("arduino-uno")

    assert (options.image, options.command, options.outputs) == ("", (), ())


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('command = ["make", "all"]\n', "", '[build] needs "image", "command" and "outputs" together: "command"'),
        ('"acme/zephyr:3.7"', '"Acme/../x"', '"image" is a name like acme/zephyr or acme/zephyr:3.7, not "Acme/../x"'),
        ('"acme/zephyr:3.7"', '"-v"', '"image" is a name like'),
        ('"acme/zephyr:3.7"', '"acme/zephyr@sha256:00"', '"image" is a name like'),
        ('"acme/zephyr:3.7"', '""', '"image" is a name like'),
        ('"acme/zephyr:3.7"', f'"{"a" * 129}"', '"image" has 129 characters, at most 128 are allowed'),
        ('["make", "all"]', "[]", '"command" is empty'),
        ('["make", "all"]', '["", "all"]', '"command" is empty'),
        ('["make", "all"]', '["a\\nb"]', '"command" holds a control character'),
        ('["make", "all"]', f'["{"a" * 1001}"]', '"command" has 1001 characters, at most 1000 are allowed'),
        ('["make", "all"]', str(["a"] * 65), '"command" lists 65 things, at most 64 are allowed'),
        ('["build/*.hex"]', "[]", '"outputs" is empty'),
        ('["build/*.hex"]', '["/etc/passwd"]', '"outputs" names files below the source'),
        ('["build/*.hex"]', '["../x"]', '"outputs" names files below the source'),
        ('["build/*.hex"]', '["a/./b"]', '"outputs" names files below the source'),
        ('["build/*.hex"]', '["$(id)"]', '"outputs" names files below the source'),
        ('["build/*.hex"]', '["[a-z]"]', '"outputs" names files below the source'),
        ('["build/*.hex"]', '["a/**.hex"]', '"**" stands for whole folders'),
        ('["build/*.hex"]', str(["a"] * 17), '"outputs" lists 17 things, at most 16 are allowed'),
    ],
)
def test_what_is_wrong_with_an_image_of_ones_own_is_said(was: str, now: str, said: str) -> None:
    assert was in OWN
    assert said in complaint(OWN.replace(was, now))


def test_an_image_without_a_tag_is_the_latest() -> None:
    assert adopted("acme/zephyr") == adopted("acme/zephyr:latest") == "kiln-own/acme/zephyr:latest"
    assert adopted("acme/zephyr:3.7") == "kiln-own/acme/zephyr:3.7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('libraries = ["../x"]', '"libraries" names folders inside the repository, without ".." or ".": "../x"'),
        ('libraries = ["/x"]', '"libraries" names folders inside the repository'),
        ('libraries = ["."]', '"libraries" names folders inside the repository'),
        ('libraries = [""]', '"libraries" names folders inside the repository'),
        (f"libraries = {['a'] * 17}", '"libraries" lists 17 things, at most 16 are allowed'),
    ],
)
def test_folders_of_libraries_are_inside_the_repository(text: str, said: str) -> None:
    assert said in complaint(f'[firmware]\nboards = ["arduino-uno"]\n{text}\n')
