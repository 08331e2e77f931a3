"""docs/security.md names tests: they exist, and no row that is promised there is without one."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
ROWS = {"7", "8", "9", "10", "12", "13", "14", "17", "18"}


def test_every_test_that_the_page_names_is_there() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)

    assert {number for number, _ in rows} >= ROWS
    for number, named in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", named)
        assert tests, number
        for path, name in tests:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), f"{path}::{name}"


def test_every_row_that_has_tests_is_on_the_page() -> None:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    tested = {
        each for path in files for each in re.findall(r"^def test_row_(\d+)_", path.read_text("utf-8"), re.MULTILINE)
    }

    assert tested - set(re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)) == set()
