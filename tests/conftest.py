"""What every tier shares: the board's `const`, a clean environment, and the name of each test's tier."""

import builtins
import gc
import os
import pathlib
from collections.abc import Callable

import hypothesis
import pytest

TIERS = ("unit", "contract", "integration", "e2e", "bench")


def _const(value: object) -> object:
    return value


builtins.const = _const  # type: ignore[attr-defined]  # MicroPython's compile-time constant

for _name in [name for name in os.environ if name.startswith("KILN_")]:
    del os.environ[_name]


# How long an example takes is the machine's business: beside other work any of them may be slow once.
hypothesis.settings.register_profile("kiln", deadline=None)
hypothesis.settings.load_profile("kiln")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The unit tier runs without sockets; every other tier speaks to real parts."""
    for item in items:
        tier = pathlib.Path(item.path).relative_to(pathlib.Path(__file__).parent).parts[0]
        if tier in TIERS[1:]:
            item.add_marker(pytest.mark.enable_socket)


def pytest_collection_finish() -> None:
    """The agent collects garbage before each step that needs room, and on CPython that looks at all that was imported.

    None of it is garbage before the end, so it is set aside: a third of the unit tier's time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say something at the end of the run, whether the test passes or not: a seed, a number of cuts, a peak."""
    return lambda words: record_property("told", words)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        f"{report.nodeid.rpartition('::')[2]}: {words}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, words in report.user_properties
        if name == "told"
    ]
    if told:
        terminalreporter.section("told by tests")
        for line in told:
            terminalreporter.line(line)
