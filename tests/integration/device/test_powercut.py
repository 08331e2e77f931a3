"""Power cuts at every program and erase: the board starts the old or the new release, whole, and
ends on the newest good one. `make powercut` makes every cut there is, this a sample.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.device import harness
from tests.integration.device.acts import whole_life
from tests.integration.device.plan import Spoilt

pytestmark = pytest.mark.timeout(1200)

CUTS_AN_ACT = 240  # or all that there are
LEAST = 10_000


def test_no_cut_breaks_mixes_or_downgrades_a_board(tmp_path: Path, tell: Callable[[str], None]) -> None:
    acts = whole_life().write(tmp_path, frozen=[256])
    seed = random.randrange(1 << 30)
    tell(f"seed {seed}")  # to make the same cuts again

    found = harness.cut(tmp_path, acts, seed=seed, count=CUTS_AN_ACT, timeout_s=1100)

    tell(f"{found.total} cuts in {len(acts)} acts, program sizes of 32 and 256 bytes, {len(found.wrong)} wrong")
    assert found.wrong == []
    assert found.total >= LEAST


DEFECTS = {
    "the-floor-does-not-rise": Spoilt("moves", 'max(state["counter"], record["counter"])', 'state["counter"]'),
    "the-slot-that-runs-is-written": Spoilt("state", 'return "b" if slot == "a" else "a"', 'return slot or "a"'),
    "starts-are-not-counted": Spoilt("moves", 'state["trial"]["boots"] += 1', "pass"),
}


@pytest.mark.parametrize("defect", list(DEFECTS))
def test_the_harness_sees_an_agent_that_is_not_safe(tmp_path: Path, defect: str) -> None:
    whole_life().write(tmp_path, DEFECTS[defect])

    found = harness.cut(tmp_path, ["update", "bites"], seed=1, count=10, timeout_s=280, programs=[256])

    assert found.wrong != []
