"""docs/security.md names tests: they exist, and no row that is promised there is without one."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
ROWS = {"7", "10", "12", "13", "14", "17", "18"}


def test_every_test_that_the_page_names_is_there() -> None:
    rows = re.findall(
        r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", (ROOT / "docs/security.md").read_text("utf-8"), re.MULTILINE
    )

    assert {number for number, _ in rows} >= ROWS
    for number, named in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", named)
        assert tests, number
        for path, name in tests:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), f"{path}::{name}"
