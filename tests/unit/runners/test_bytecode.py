"""Which .mpy files a board loads."""

from typing import Any

import pytest

from runners.errors import RefusedError
from runners.recipes import bytecode
from runners.recipes.bytecode import ARCHES, Header, runs, sub_version
from tests.unit.runners.test_micropython import job, refusal, stage


def mpy(*, version: int = 6, sub: int = 3, arch: str = "", more: int = 0, bits: int = 31) -> bytes:
    flags = sub | (ARCHES[arch] << 2 if arch else 0) | more
    return bytes([ord("M"), version, flags, bits]) + b"\x00" * 8


def loads(content: bytes, **options: Any) -> bool:
    try:
        bytecode.check("lib/x.mpy", content, job(**options))
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("micropython", "sub"), [("1.19", 0), ("1.20", 1), ("1.21", 1), ("1.22", 2), ("1.23", 3), ("1.28", 3), ("2.0", 3)]
)
def test_each_micropython_loads_native_code_of_one_version(micropython: str, sub: int) -> None:
    assert sub_version(micropython) == sub


@pytest.mark.parametrize("board", ARCHES)
@pytest.mark.parametrize("code", ARCHES)
def test_native_code_runs_on_its_own_processor_and_that_of_arm_on_larger_ones(code: str, board: str) -> None:
    arm = ["armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp"]
    is_smaller = code in arm and board in arm and arm.index(code) <= arm.index(board)

    assert runs(ARCHES[code], on=ARCHES[board]) is (code == board or is_smaller)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (mpy(sub=0), {"arch": "xtensa", "micropython": "1.28"}),  # bytecode: every version 6 loads it
        (mpy(sub=0), {"arch": None}),
        (mpy(arch="xtensawin"), {"arch": "xtensawin"}),
        (mpy(arch="armv6m"), {"arch": "armv7emsp"}),
        (mpy(sub=1, arch="xtensa"), {"arch": "xtensa", "micropython": "1.21"}),
        (mpy(bits=63), {"arch": "x64"}),
    ],
    ids=["bytecode of 1.19", "no native code", "its own", "smaller ARM", "as old", "a computer"],
)
def test_what_the_board_loads_passes(content: bytes, options: dict[str, Any]) -> None:
    assert loads(content, **options)


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"import x\n", {}, "lib/x.mpy is not an .mpy file"),
        (mpy(version=5), {}, "lib/x.mpy is an .mpy file of version 5 (MicroPython 1.12 to 1.18), unix loads version 6"),
        (mpy(version=9), {}, "lib/x.mpy is an .mpy file of version 9, unix loads version 6"),
        (mpy(arch="xtensa"), {"arch": "xtensawin"}, "holds native code for xtensa, which unix cannot run"),
        (mpy(arch="armv7em"), {"arch": "armv6m"}, "holds native code for armv7em, which unix cannot run"),
        (mpy(arch="armv6"), {"arch": "armv7em"}, "holds native code for armv6, which unix cannot run"),
        (mpy(arch="x64"), {"arch": None}, "holds native code for x64, which unix cannot run"),
        (
            mpy(sub=1, arch="xtensa"),
            {"arch": "xtensa", "micropython": "1.28"},
            "native code of version 6.1 (MicroPython 1.20 and 1.21), MicroPython 1.28 loads 6.3: compile it again",
        ),
        (mpy(arch="xtensa"), {"arch": "xtensa", "micropython": "1.22"}, "(MicroPython 1.23 and later), MicroPython"),
        (mpy(arch="rv32imc", more=0x40), {"arch": "rv32imc"}, "for an extension of rv32imc, which unix may lack"),
        (mpy(bits=63), {"arch": "xtensa"}, "small integers of 63 bits, unix has 31"),
        (mpy(arch="xtensa")[:3] + b"\x1f", {"arch": "rv32imc"}, "native code for xtensa"),
    ],
)
def test_what_the_board_cannot_load_is_refused_by_name(content: bytes, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        bytecode.check("lib/x.mpy", content, job(**options))

    assert said in str(caught.value)


def test_a_processor_without_a_name_is_named_by_its_number() -> None:
    with pytest.raises(RefusedError, match="native code for processor 15"):
        bytecode.check("x.mpy", bytes([ord("M"), 6, 3 | 15 << 2, 31]), job(arch="x64"))


def test_what_came_with_the_repository_is_looked_at_before_anything_is_built() -> None:
    said = refusal({"src/main.py": b"", "src/lib/x.mpy": mpy(arch="xtensa")}, source="src", arch="xtensawin")

    assert said == "src/lib/x.mpy holds native code for xtensa, which unix cannot run"
    own = mpy(arch="xtensa")
    assert stage({"main.py": b"", "lib/x.mpy": own}, arch="xtensa")["out/lib/x.mpy"] == own


def test_a_header_that_is_cut_short_is_none() -> None:
    assert [Header.parse(mpy()[:length]) for length in range(4)] == [None] * 4
