"""A flash that an application filled to its last blocks, however many those are: the release that runs goes on."""

from pathlib import Path

import pytest

from tests.integration.device import harness
from tests.integration.device.plan import Plan

ONE, TWO = ("one", "first"), ("two", "first")
BESIDE = b"y" * 300  # kept beside its name, which moves where the folder needs a block more


@pytest.mark.parametrize(("program_bytes", "most"), [(32, 5), (256, 9)])
def test_a26_a_full_flash_neither_holds_a_board_up_nor_has_it_restart_for_ever(
    tmp_path: Path, program_bytes: int, most: int
) -> None:
    plan = Plan()
    plan.release("one", 1)
    plan.release("two", 2)
    paths = plan.bundle("one")
    plan.act("first", desired=plan.order("one", seq=1), paths=paths, may_start=[ONE], ends=ONE, seq=1)
    for left in range(most):
        for number in range(3):
            edits: list[tuple[str, bytes | int | None]] = [(f"/kiln/beside{each}", BESIDE) for each in range(number)]
            plan.act(
                f"{left}-blocks-left-{number}",
                base="first",
                desired=plan.order("two", seq=2),
                paths=plan.bundle("two") | plan.pack("one", "two"),
                edits=[*edits, ("/data/filler", left)],
                may_start=[ONE],
                ends=ONE,
                seq=None,
            )
    plan.write(tmp_path, frozen=[256])

    output = harness.run("powercut.py", tmp_path, program_bytes, "prepare", timeout_s=300)

    assert [line for line in output.splitlines() if line.startswith("WRONG")] == [], output
    assert sum(line.startswith("act ") for line in output.splitlines()) == 1 + 3 * most
