"""Which files make a sketch, what its compiler's words mean, and what fits on a board."""

import io
import tarfile
from typing import Any

import pytest

from runners.contract.job import Annotation, Blob, Job, Options, Size
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes.arduino import Arduino
from runners.recipes.recipe import Staged
from runners.recipes.snapshot import Snapshot

BOARDS = "arduino-uno arduino-nano arduino-mega"
IMAGE = Image(name="kiln/arduino-avr:current", digest="sha256:0", labels={"kiln.boards": BOARDS})
RECIPE = Arduino()
BLINK: dict[str, bytes | None] = {"blink/blink.ino": b"void setup() {}\nvoid loop() {}\n"}
ELF = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00" + b"\x53\x00" + bytes(32)
HEX = b":00000001FF\n"


def job(board: str = "arduino-uno", **options: Any) -> Job:  # whatever Options takes
    return Job(
        id="j",
        board=board,
        family="arduino-avr",
        commit="",
        source=Blob(url="", digest="0" * 64, size_bytes=0),
        uploads={},
        log_url="",
        options=Options(**options),
    )


def staged(files: dict[str, bytes | None], **options: Any) -> Staged:
    return RECIPE.stage(job(**options), Snapshot(files), IMAGE)


def tree(files: dict[str, bytes | None], **options: Any) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(staged(files, **options).tree)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
    return {name: file.read() for name, file in found.items() if file}


def refusal(files: dict[str, bytes | None], **options: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        staged(files, **options)
    return str(caught.value)


def test_a_sketch_is_its_folder_and_the_folder_of_libraries() -> None:
    files = tree(
        {
            **BLINK,
            "blink/more.ino": b"",
            "blink/fast.S": b"",
            "blink/src/deep/a.cpp": b"",
            "blink/docs/a.cpp": b"",
            "blink/.clang-format": b"",
            "libraries/Led/src/Led.h": b"",
            "libraries/Led/examples/Blink/Blink.ino": b"",
            "libraries/Led/.github/x.h": b"",
            "libraries/README.md": b"",
            "kiln.toml": b"",
        },
        source="blink",
    )

    assert files["job"] == b"arduino-uno\nblink/blink.ino\nlibraries\n"
    assert sorted(files) == [
        "fits",
        "in/blink/blink.ino",
        "in/blink/fast.S",
        "in/blink/more.ino",
        "in/blink/src/deep/a.cpp",
        "in/libraries/Led/src/Led.h",
        "job",
    ]


def test_a_repository_that_is_one_sketch_needs_no_source() -> None:
    assert tree({"any.ino": b"", "a.h": b""})["job"] == b"arduino-uno\nany.ino\n"
    assert tree(BLINK)["job"] == b"arduino-uno\nblink/blink.ino\n"


def test_folders_of_libraries_are_those_that_are_named() -> None:
    files = {**BLINK, "libraries/A/A.h": b"", "vendor/B/B.h": b""}

    assert tree(files, libraries=("vendor",))["job"].endswith(b"blink/blink.ino\nvendor\n")
    assert "in/libraries/A/A.h" not in tree(files, libraries=("vendor",))
    assert refusal(files, libraries=("lib",)) == 'the folder lib that "libraries" names is empty or missing'


def test_a_source_without_its_sketch_is_refused() -> None:
    said = "there is no app/blink/blink.ino: a sketch's main file has the name of its folder"
    assert refusal({"app/blink/other.ino": b""}, source="app/blink") == said
    assert refusal({"main.py": b""}).startswith("there is no sketch: name the folder")
    assert refusal({"a.ino": b"", "b.ino": b""}).startswith("there are several sketches (a.ino, b.ino): name")


@pytest.mark.parametrize(
    "name", ["a b.cpp", 'a".cpp', "a$(id).cpp", "-o.cpp", "a\n.h", "ä.h", "a;b.ino", "src/-Wl/x.c", "@x.h", "a&b.S"]
)
def test_a_name_that_is_no_word_of_a_command_is_refused(name: str) -> None:
    assert "has characters other than" in refusal({**BLINK, f"blink/{name}": b""}, source="blink")
    assert "has characters other than" in refusal({**BLINK, f"libraries/L/{name}": b""}, source="blink")


def test_a_file_that_is_no_code_may_have_any_name_and_stays_away() -> None:
    assert sorted(tree({**BLINK, "blink/of the motor.md": b""}, source="blink")) == [
        "fits",
        "in/blink/blink.ino",
        "job",
    ]


@pytest.mark.parametrize("source", ["-x", "a b", "x;y", "a/$HOME"])
def test_a_folder_that_is_no_word_of_a_command_is_refused(source: str) -> None:
    name = source.rpartition("/")[2]
    assert "has characters other than" in refusal({f"{source}/{name}.ino": b""}, source=source)


def test_a_symbolic_link_is_refused() -> None:
    assert "blink/a.h is a symbolic link" in refusal({**BLINK, "blink/a.h": None}, source="blink")


def test_a_board_that_the_image_does_not_know_is_refused() -> None:
    with pytest.raises(RefusedError, match="does not know esp32-generic: make it anew"):
        RECIPE.stage(job("esp32-generic"), Snapshot(BLINK), IMAGE)


def test_an_overlay_is_refused() -> None:
    assert "#ifdef" in refusal(BLINK, overlay="boards/uno")


def test_a_clock_in_a_sketch_is_warned_of() -> None:
    found = staged({**BLINK, "blink/a.cpp": b"\nconst char *at = __TIME__;\n"}, source="blink").warnings

    assert [(each.path, each.line) for each in found] == [("blink/a.cpp", 2)]
    assert found[0].text.startswith("__TIME__ is the same in every build (2000-01-01)")


LOG = """\
blink/blink.ino:8:3: error: 'later' was not declared in this scope
   later(3);
   ^
blink/blink.ino:1:17: fatal error: Foo.h: No such file or directory
blink/a.cpp:2:31: warning: unused variable 'b' [-Wunused-variable]
/usr/share/arduino/hardware/arduino/avr/cores/arduino/Print.h:40:1: error: not yours
../../etc/passwd:1:1: error: nor this
blink/blink.ino:8:3: error: 'later' was not declared in this scope
"""


def test_errors_name_file_and_line_of_the_repository() -> None:
    sketch = staged({**BLINK, "blink/a.cpp": b""}, source="blink")

    assert RECIPE.annotations(LOG, sketch) == (
        Annotation(path="blink/blink.ino", line=8, text="'later' was not declared in this scope"),
        Annotation(path="blink/blink.ino", line=1, text="Foo.h: No such file or directory"),
    )


def size_of(text: int, data: int = 0, bss: int = 0) -> bytes:
    rows = {".data": data, ".text": text, ".bss": bss, ".eeprom": 5, ".debug_info": 90_000}
    lines = [f"{name:<20}{size:>6}{0:>10}" for name, size in rows.items()]
    return "\n".join(["firmware.elf  :", "section  size  addr", *lines, "Total 1"]).encode()


def outputs(size: bytes, **more: bytes) -> dict[str, bytes]:
    return {"firmware.elf": ELF, "firmware.hex": HEX, "size": size, **more}


def test_what_was_made_says_what_it_takes() -> None:
    made = RECIPE.made(job(), outputs(size_of(3000, 40, 332), said=LOG.encode()))

    assert dict(made.artifacts) == {"firmware.elf": ELF, "firmware.hex": HEX}
    assert made.sizes == (
        Size(name="firmware.elf", size_bytes=len(ELF)),
        Size(name="firmware.hex", size_bytes=len(HEX)),
        Size(name="flash", size_bytes=3040, of_bytes=32256),
        Size(name="ram", size_bytes=372, of_bytes=2048),
    )
    assert made.warnings == (Annotation(path="blink/a.cpp", line=2, text="unused variable 'b' [-Wunused-variable]"),)


@pytest.mark.parametrize(
    ("board", "size", "said"),
    [
        ("arduino-uno", size_of(32256, 1), "the sketch takes 32257 bytes of flash, arduino-uno has 32256"),
        ("arduino-nano", size_of(30721), "the sketch takes 30721 bytes of flash, arduino-nano has 30720"),
        ("arduino-uno", size_of(9, 9, 2040), "the sketch's variables take 2049 bytes of RAM, arduino-uno has 2048"),
    ],
)
def test_what_does_not_fit_is_refused(board: str, size: bytes, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        RECIPE.made(job(board), outputs(size))

    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "the build made no firmware.elf"),
        ({"firmware.elf": ELF, "firmware.hex": b"", "size": b"x"}, "the build made no firmware.hex"),
        (outputs(size_of(1), **{"firmware.elf": b"MZ" + bytes(40)}), "firmware.elf is not a program for AVR"),
        (outputs(size_of(1), **{"firmware.elf": ELF[:18] + b"\x3e" + ELF[19:]}), "firmware.elf is not a program"),
    ],
)
def test_outputs_that_are_no_firmware_are_refused(files: dict[str, bytes], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        RECIPE.made(job(), files)
