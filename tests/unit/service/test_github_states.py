"""Marks in GitHub's words: both functions are total, and say nothing that GitHub does not take."""

import pytest

from service.adapters.forges.github_marks import check_state, status_state
from service.domain.mark import MarkState

CONCLUSIONS = {"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}


@pytest.mark.parametrize("state", list(MarkState), ids=lambda state: state.value)
def test_every_state_has_its_words(state: MarkState) -> None:
    status, conclusion = check_state(state)
    assert status_state(state) in {"error", "failure", "pending", "success"}
    assert status in {"queued", "in_progress", "completed"}
    assert conclusion in CONCLUSIONS if status == "completed" else conclusion == ""


@pytest.mark.parametrize("state", list(MarkState), ids=lambda state: state.value)
def test_what_is_over_is_over_for_github_too(state: MarkState) -> None:
    assert (status_state(state) != "pending") is state.is_final
    assert (check_state(state)[0] == "completed") is (state.is_final or state is MarkState.WAITING)
