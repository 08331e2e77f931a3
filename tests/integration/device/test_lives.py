"""Random lives: updates, bad releases, power cuts, network faults and attacks mixed. Each must end
healthy on the newest good release.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.device import harness, stories

pytestmark = pytest.mark.timeout(1200)

LIVES = 1_000


def test_every_random_life_ends_healthy_on_the_newest_good_release(tmp_path: Path, tell: Callable[[str], None]) -> None:
    seed = random.randrange(1 << 30)
    tell(f"seed {seed}")  # to live the same lives again
    stories.write(tmp_path, seed=seed, count=LIVES)

    found = harness.lives(tmp_path, stories.BEGIN, count=LIVES, timeout_s=1100)

    tell(f"{found.total} lives, {len(found.wrong)} wrong")
    assert found.wrong == []
    assert found.total == LIVES
