"""Which hosts the operator's word is about: with or without a port, and IPv6 addresses in brackets."""

import pytest

from fetcher import address
from fetcher.download import Hosts


@pytest.mark.parametrize(
    ("url", "named", "is_trusted"),
    [
        ("http://pi.lan/a", "pi.lan", True),
        ("http://pi.lan/a", "pi.lan:80", True),
        ("http://pi.lan:8080/a", "pi.lan", True),
        ("http://PI.lan:8080/a", "pi.lan:8080", True),
        ("https://pi.lan/a", "pi.lan:443", True),
        ("http://[fd00::1]:8080/a", "[fd00::1]", True),
        ("http://[fd00::1]:8080/a", "[fd00::1]:8080", True),
        ("http://pi.lan:8080/a", "pi.lan:80", False),
        ("http://evil.pi.lan/a", "pi.lan", False),
        ("http://pi.lan.evil/a", "pi.lan", False),
        ("http://[fd00::1]/a", "[fd00::2]", False),
    ],
)
def test_a_host_is_trusted_as_it_is_named(url: str, named: str, is_trusted: bool) -> None:
    assert Hosts(frozenset({named}), None).trusts(address.parse(url, "it")) is is_trusted
