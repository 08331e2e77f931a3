"""Names of branches that git takes, and what is said of others."""

import subprocess

import pytest
from hypothesis import given, settings, strategies as st

from service.domain.branch import MAX_BRANCH_CHARS, branch, fault_of
from service.domain.errors import BadInputError
from service.domain.event import is_ref

PARTS = st.sampled_from([*"ab/.-@{~^:?*[\\ \x7f\té", "..", ".lock", "//", "@{", "refs/heads/"])
NAMES = st.lists(PARTS, min_size=1, max_size=8).map("".join)


def git_takes(name: str) -> bool:
    asked = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False, capture_output=True)
    return asked.returncode == 0


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_what_git_refuses_is_refused_and_what_it_takes_is_taken(name: str) -> None:
    """But for a part that begins with a dash, which could pass for an option."""
    has_dash = any(part.startswith("-") for part in name.split("/"))

    assert (fault_of(name) == "") == (git_takes(name) and not has_dash)
    assert is_ref(f"refs/heads/{name}") == (fault_of(name) == "")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a b", "it holds a space"),
        ("a\x1b", r"it holds '\x1b'"),
        ("a..b", "it holds '..'"),
        ("main/", "it begins or ends with '/'"),
        ("/main", "it begins or ends with '/'"),
        ("v1.", "it begins or ends with '.'"),
        ("a/.b", "it has a part that begins with '.'"),
        ("-q", "it has a part that begins with '-'"),
        ("a.lock/b", "it has a part that ends with '.lock'"),
        ("", "it has not 1 to 200 characters"),
        ("x" * (MAX_BRANCH_CHARS + 1), "it has not 1 to 200 characters"),
    ],
)
def test_what_is_wrong_is_said(name: str, fault: str) -> None:
    with pytest.raises(BadInputError, match="no branch can be called") as refused:
        branch(name)

    assert str(refused.value).endswith(fault)
