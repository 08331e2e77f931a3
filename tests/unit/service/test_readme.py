"""What the words that come with a device warn of."""

import pytest

from service.domain.readme import only_here


@pytest.mark.parametrize(
    ("base", "host", "lost"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", ["base", "mqtt"]),
        ("http://localhost:8080", "kiln.lan", ["base"]),
        ("https://kiln.lan", "127.0.1.1", ["mqtt"]),
        ("http://192.168.1.7:8080", "192.168.1.7", []),
    ],
)
def test_addresses_that_no_board_reaches_are_named(base: str, host: str, lost: list[str]) -> None:
    assert only_here({"base": base, "mqtt": {"host": host}}) == lost
