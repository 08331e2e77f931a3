"""Sketches for Arduino boards: Debian's compiler and core, on real Docker."""

import io
import pathlib
import subprocess
from dataclasses import replace

import pytest
from intelhex import IntelHex  # type: ignore[import-untyped]

from runners.contract.board import Catalogue
from runners.contract.job import Job, Limits, Options, Outcome
from tests.integration.runners.conftest import Bench

pytestmark = pytest.mark.docker

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "blink-avr"
BOARDS = ("arduino-uno", "arduino-nano", "arduino-mega")
SKETCH = b"void setup() { Serial.begin(9600); }\nvoid loop() {}\n"
NAMES = ("firmware.elf", "firmware.hex")


def example() -> dict[str, bytes]:
    return {path.relative_to(EXAMPLE).as_posix(): path.read_bytes() for path in EXAMPLE.rglob("*") if path.is_file()}


def job(bench: Bench, files: dict[str, bytes], *, board: str = "arduino-uno", source: str = "blink") -> Job:
    made = bench.job(files, family="arduino-avr", options=Options(source=source))
    return replace(made, board=board, uploads={name: f"/{made.id}/{name}" for name in NAMES})


def uploaded(bench: Bench, work: Job, name: str) -> bytes:
    return bench.service.uploads[work.uploads[name]]


def program(content: bytes) -> IntelHex:
    """Every line's checksum is looked at on the way."""
    return IntelHex(io.StringIO(content.decode("ascii")))


@pytest.mark.parametrize("board", BOARDS)
def test_a_sketch_with_a_library_becomes_a_program_for_the_board(bench: Bench, board: str) -> None:
    work = job(bench, example(), board=board)

    result = bench.run(work)

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, "")
    sizes = {each.name: each for each in result.sizes}
    flashed = program(uploaded(bench, work, "firmware.hex"))
    assert len(flashed) == sizes["flash"].size_bytes  # avr-size counts what the .hex brings
    assert sizes["flash"].of_bytes == Catalogue.load().board(board).avr["flash_bytes"]
    assert 0 < sizes["ram"].size_bytes < sizes["ram"].of_bytes
    assert flashed.minaddr() == 0
    assert flashed[1] == 0x94 or flashed[1] >> 4 == 0xC  # the reset vector: JMP, or RJMP where it is near enough
    assert result.warnings == ()
    assert "core: as it was compiled with the build image" in bench.log(work)


def test_the_program_holds_what_the_repository_says(bench: Bench) -> None:
    """Looked at by the compiler's own tools, in its own image."""
    work = job(bench, example(), board="arduino-mega")
    bench.run(work)

    listing = objdump(uploaded(bench, work, "firmware.elf"), "-t")

    assert "avr:6" in objdump(uploaded(bench, work, "firmware.elf"), "-f")  # the architecture of an ATmega2560
    assert "main" in listing
    assert "setup" in listing or "say" in listing
    assert b"blink " in bytes(program(uploaded(bench, work, "firmware.hex")).tobinarray())


@pytest.mark.parametrize(("board", "processor"), [("arduino-uno", "atmega328p"), ("arduino-mega", "atmega2560")])
def test_the_program_runs_on_a_simulated_processor(
    bench: Bench, tmp_path: pathlib.Path, board: str, processor: str
) -> None:
    """simavr shows what the first serial line says."""
    files = example()
    files["blink/blink.ino"] = files["blink/blink.ino"].replace(b'"1"', b'"of the test"')
    work = job(bench, files, board=board)
    bench.run(work)
    (tmp_path / "firmware.elf").write_bytes(uploaded(bench, work, "firmware.elf"))
    command = ["simavr", "-m", processor, "-f", "16000000", str(tmp_path / "firmware.elf")]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        assert running.stdout is not None
        try:
            said = next((line for line in running.stdout if b"blink" in line), b"")
        finally:
            running.kill()

    assert b"blink of the test" in said


def objdump(elf: bytes, option: str) -> str:
    command = ["docker", "run", "--rm", "-i", "--network", "none", "--entrypoint", "sh", "kiln/arduino-avr:current"]
    done = subprocess.run(
        [*command, "-c", f"cat >/tmp/a.elf && avr-objdump {option} /tmp/a.elf"],
        input=elf,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout.decode()


def test_the_same_commit_gives_the_same_bytes(bench: Bench) -> None:
    clock = b"void say(); const char *at = __DATE__ __TIME__ __TIMESTAMP__ __FILE__;\n"
    files = {**example(), "blink/at.cpp": clock + b"const char *when() { return at; }\n"}
    first, second = job(bench, files), job(bench, files)

    results = [bench.run(each) for each in (first, second)]

    assert [each.outcome for each in results] == [Outcome.SUCCEEDED] * 2
    assert results[0].artifacts == results[1].artifacts
    assert [(each.path, each.line) for each in results[0].warnings] == [("blink/at.cpp", 1)]


def test_only_libraries_that_are_included_are_compiled(bench: Bench) -> None:
    files = {
        "blink/blink.ino": b"#include <Wire.h>\n#include <Flat.h>\n" + SKETCH.replace(b"Serial", b"flat(); Serial"),
        "libraries/Flat/Flat.h": b"#pragma once\nvoid flat();\n",
        "libraries/Flat/Flat.cpp": b'#include "utility/deep.h"\nvoid flat() { deep(); }\n',
        "libraries/Flat/utility/deep.h": b'#pragma once\n#ifdef __cplusplus\nextern "C"\n#endif\nvoid deep(void);\n',
        "libraries/Flat/utility/deep.c": b"void deep(void) { volatile int x = 1; (void)x; }\n",
        "libraries/Other/Other.h": b"",
        "libraries/Other/Other.cpp": b"this does not compile\n",
    }
    work = job(bench, files)

    result = bench.run(work)

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, ""), bench.log(work)
    assert "libraries: Flat Wire\n" in bench.log(work)


def test_errors_name_file_and_line_of_the_repository(bench: Bench) -> None:
    files = {
        "app/blink/blink.ino": b"// a comment\nvoid setup() {\n  int x = missing;\n}\nvoid loop() {}\n",
        "app/blink/zz.cpp": b"#include <Arduino.h>\nint f() { return 1 }\n",
    }
    work = job(bench, files, source="app/blink")

    result = bench.run(work)

    assert result.outcome is Outcome.FAILED
    assert result.message.startswith("app/blink/blink.ino line 3: 'missing' was not declared in this scope"), bench.log(
        work
    )


def test_an_error_in_another_file_or_a_library_is_annotated(bench: Bench) -> None:
    broken = {
        "blink/zz.cpp": b"#include <Arduino.h>\nint f() { return 1 }\n",
        "libraries/Led/src/Led.cpp": b'#include "Led.h"\n\nint x = y;\n',
    }
    found = {}
    for path, content in broken.items():
        result = bench.run(job(bench, {**example(), path: content}))
        found[path] = [(each.path, each.line) for each in result.annotations][:1]

    assert found == {
        "blink/zz.cpp": [("blink/zz.cpp", 2)],
        "libraries/Led/src/Led.cpp": [("libraries/Led/src/Led.cpp", 3)],
    }


def test_a_header_that_is_missing_is_annotated(bench: Bench) -> None:
    result = bench.run(job(bench, {"blink/blink.ino": b"\n#include <Nowhere.h>\n" + SKETCH}))

    assert result.outcome is Outcome.FAILED
    assert result.message == "blink/blink.ino line 2: Nowhere.h: No such file or directory"


def test_what_the_linker_misses_is_the_message(bench: Bench) -> None:
    result = bench.run(
        job(bench, {"blink/blink.ino": b"void missing();\nvoid setup() { missing(); }\nvoid loop() {}\n"})
    )

    assert result.outcome is Outcome.FAILED
    assert "undefined reference to `missing()'" in result.message


def test_warnings_of_the_compiler_are_kept_and_those_of_the_core_are_not(bench: Bench) -> None:
    files = {"blink/blink.ino": SKETCH, "blink/a.cpp": b"int f(int a) { int b; return a; }\n"}

    result = bench.run(job(bench, files))

    assert result.outcome is Outcome.SUCCEEDED
    assert [(each.path, each.line) for each in result.warnings] == [("blink/a.cpp", 1)]
    assert "unused variable 'b'" in result.warnings[0].text


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("const char big[20000] PROGMEM = {1}, more[20000] PROGMEM = {2};", "bytes of flash, arduino-uno has 32256"),
        ("volatile char big[2100], more[9];", "bytes of RAM, arduino-uno has 2048"),
        ("volatile char big[30000], more[30000];", "bytes of RAM, arduino-uno has 2048"),
    ],
    ids=["flash", "RAM", "more RAM than any AVR has"],
)
def test_a_sketch_that_does_not_fit_is_refused(bench: Bench, declared: str, said: str) -> None:
    use = "Serial.write(big[analogRead(0)]); Serial.write(more[analogRead(1)]);"
    sketch = f"{declared}\nvoid setup() {{ Serial.begin(9600); {use} }}\nvoid loop() {{}}\n"

    result = bench.run(job(bench, {"blink/blink.ino": sketch.encode()}))

    assert result.outcome is Outcome.REFUSED, result.message
    assert said in result.message


def test_a_sketch_that_is_larger_than_its_addresses_fails_with_a_sentence(bench: Bench) -> None:
    sketch = b"volatile char a[32767], b[32767], c[9];\nvoid setup() { a[1] = b[2] = c[3] = 2; }\nvoid loop() {}\n"

    result = bench.run(job(bench, {"blink/blink.ino": sketch}))

    assert result.outcome is Outcome.FAILED
    assert "the sketch's variables take more RAM than there are addresses" in result.message


def test_a_sketch_that_prints_without_end_at_compile_time_ends(bench: Bench) -> None:
    """Templates that never end: GCC's own limit, and what it says is cut."""
    sketch = b"template <int N> struct A { A<N + 1> a; };\nA<0> a;\n" + SKETCH
    work = replace(job(bench, {"blink/blink.ino": sketch}), limits=Limits(log_bytes=100_000))

    result = bench.run(work)

    assert result.outcome is Outcome.FAILED
    assert result.annotations
    assert len(bench.log(work)) < 110_000


@pytest.mark.parametrize("board", BOARDS)
def test_whatever_may_be_in_a_sketch_is_compiled(bench: Bench, board: str) -> None:
    """C, C++, assembler, a folder src, and every library that comes with the core."""
    include = b"".join(b"#include <%s.h>\n" % name for name in (b"EEPROM", b"HID", b"SoftwareSerial", b"SPI", b"Wire"))
    files = {
        "blink/blink.ino": include
        + b'#include "src/deep/twice.h"\nextern "C" int thrice(int);\nextern "C" uint8_t seven(void);\n'
        b"template <typename T> T plus(T a, T b = T()) { return a + b; }\n"
        b"SoftwareSerial line(2, 3);\n"
        b"void setup() { Serial.begin(9600); SPI.begin(); Wire.begin(); line.begin(9600); EEPROM.write(0, seven()); }\n"
        b"void loop() { Serial.println(plus<int>(twice(analogRead(0)), thrice(2))); }\n",
        "blink/other.c": b"int thrice(int x) { return 3 * x; }\n",
        "blink/fast.S": b".global seven\nseven:\n  ldi r24, 7\n  ldi r25, 0\n  ret\n",
        "blink/src/deep/twice.h": b"#pragma once\nint twice(int x);\n",
        "blink/src/deep/twice.cpp": b'#include "twice.h"\nint twice(int x) { return 2 * x; }\n',
    }
    work = job(bench, files, board=board)

    result = bench.run(work)

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, ""), bench.log(work)
    assert "libraries: EEPROM HID SPI SoftwareSerial Wire\n" in bench.log(work)
    assert "seven" in objdump(uploaded(bench, work, "firmware.elf"), "-t")
