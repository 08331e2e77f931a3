"""Precedence of versions, by the examples of https://semver.org and by properties."""

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from service.domain.semver import MAX_CHARS, Version, leads_back

# Rule 11.4 and the examples beside it, lowest first.
ORDERED = [
    "0.0.1",
    "0.9.0",
    "0.10.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1-0",
    "1.0.1-9",
    "1.0.1-10",
    "1.0.1--",
    "1.0.1-A",
    "1.0.1-a",
    "2.0.0",
    "2.1.0",
    "2.1.1",
]
_identifier = st.from_regex(r"\A(?:0|[1-9][0-9]{0,3}|[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,3})\Z")
_versions = st.builds(
    lambda core, pre, build: ".".join(map(str, core)) + ("-" + ".".join(pre)) * bool(pre) + ("+" + build) * bool(build),
    st.tuples(*[st.integers(0, 99)] * 3),
    st.lists(_identifier, max_size=3),
    st.sampled_from(["", "5", "sha.ab12", "001"]),
)


def version(text: str) -> Version:
    found = Version.parse(text)
    assert found is not None, text
    return found


def test_the_order_is_that_of_rule_11() -> None:
    for lower, higher in itertools.combinations(ORDERED, 2):
        assert version(lower).precedence < version(higher).precedence, (lower, higher)
        assert leads_back(lower, higher)
        assert not leads_back(higher, lower)


@settings(max_examples=30)
@given(_versions, _versions, _versions)
def test_it_is_an_order(one: str, two: str, three: str) -> None:
    a, b, c = (version(each).precedence for each in (one, two, three))
    assert (a < b) + (b < a) + (a == b) == 1
    assert not (a <= b <= c) or a <= c


@settings(max_examples=30)
@given(_versions)
def test_what_was_built_says_nothing(text: str) -> None:
    plain = text.partition("+")[0]
    assert version(text).precedence == version(plain).precedence
    assert not leads_back(text, plain)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1.2", "01.2.3", "1.02.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "1.2.3+a..b", "v1.2.3"),
        *("1.2.3 ", "1.2.3-ü", "1.2.٣", "1.2.3\n", "1234567890.0.0", "1.2.3-" + "a" * MAX_CHARS),
    ],
)
def test_what_is_no_version_leads_nowhere(text: str) -> None:
    assert Version.parse(text) is None
    assert not leads_back(text, "9.9.9")
