"""Power cuts at every program and erase: the board starts the old or the new release, whole, and
ends on the newest good one. `make powercut` makes every cut there is, this a sample.
"""

import random
from pathlib import Path

import pytest

from tests.integration.device import harness
from tests.integration.device.acts import whole_life

pytestmark = pytest.mark.timeout(300)

CUTS_AN_ACT = 200


def test_no_cut_breaks_mixes_or_downgrades_a_board(tmp_path: Path) -> None:
    acts = whole_life().write(tmp_path)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # to make the same cuts again

    found = harness.cut(tmp_path, acts, seed=seed, count=CUTS_AN_ACT, timeout_s=280)

    print(found.total, "cuts", found.cuts)
    assert found.wrong == []
    assert found.total >= 2 * len(acts) * CUTS_AN_ACT * 0.7
