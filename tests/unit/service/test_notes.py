"""Release notes from what was pushed."""

import pytest
from hypothesis import given, settings, strategies as st

from service.domain.errors import BadInputError, TooLargeError
from service.domain.notes import Push, notes, shortened
from service.domain.release import MAX_NOTES_BYTES, channel_name, checked_notes, checked_reason

MAIN, TOPIC = "refs/heads/main", "refs/heads/topic"


def pushed(number: int, *titles: str, ref: str = MAIN) -> Push:
    """Commits named by their titles; the last one is where the ref went."""
    commits = tuple((f"commit-{each}", each) for each in titles)
    return Push(number=number, ref=ref, commit=commits[-1][0], title=titles[-1], commits=commits)


def tag(number: int, name: str, commit: str, message: str = "") -> Push:
    ref = f"refs/tags/{name}"
    return Push(number=number, ref=ref, commit=f"commit-{commit}", title=commit, tag_message=message)


def test_of_a_branch_all_that_came_since_the_release_before() -> None:
    pushes = [pushed(1, "one"), pushed(2, "two", "three"), pushed(3, "other", ref=TOPIC), pushed(4, "four")]

    assert notes(pushes[-1], pushes[0], pushes) == "- four\n- three\n- two"


def test_of_a_branch_nothing_that_came_later() -> None:
    pushes = [pushed(1, "one"), pushed(2, "two"), pushed(3, "three")]

    assert notes(pushes[1], pushes[0], pushes) == "- two"


def test_of_the_first_release_all_that_is_known() -> None:
    pushes = [pushed(1, "one", "two"), pushed(2, "three")]

    assert notes(pushes[-1], None, pushes) == "- three\n- two\n- one"


def test_of_a_tag_what_came_to_its_branch_since_the_tag_before() -> None:
    first, second = tag(4, "v1.0.0", "one"), tag(7, "v1.1.0", "four", "Lamps blink.\n\nAnd more.")
    # The first tag was put on an older commit, when others were pushed already.
    pushes = [pushed(1, "zero", "one"), pushed(2, "two"), pushed(3, "x", ref=TOPIC), first, pushed(5, "three", "four")]
    pushes += [pushed(6, "five"), second]

    assert notes(second, first, pushes) == "Lamps blink.\n\nAnd more.\n\n- four\n- three\n- two"


def test_of_a_tag_that_comes_before_its_branch() -> None:
    release = tag(2, "v1.0.0", "two")
    pushes = [pushed(1, "one"), release, pushed(3, "two")]

    assert notes(release, tag(0, "v0.9.0", "one"), pushes) == "- two"


def test_of_a_tag_on_a_commit_that_no_push_brought() -> None:
    release = tag(2, "v1.0.0", "one")

    assert notes(release, None, [release]) == "- one"
    assert notes(release, tag(1, "v0.9.0", "zero"), []) == "- one"


def test_a_list_that_was_cut_off_says_so() -> None:
    cut = Push(number=2, ref=MAIN, commit="b", title="b", commits=(("", "12 earlier commits"), ("b", "b")))

    assert notes(cut, None, [cut]) == "- b\n- 12 earlier commits"


def test_a_build_that_ran_twice_is_told_once() -> None:
    pushes = [pushed(1, "one"), pushed(2, "two"), pushed(3, "two")]

    assert notes(pushes[-1], pushes[0], pushes) == "- two"


def test_a_return_to_an_older_commit_is_called_by_its_own_title() -> None:
    pushes = [pushed(1, "one"), pushed(2, "two"), pushed(3, "one")]

    assert notes(pushes[2], pushes[0], pushes) == "- one"


def test_a_build_without_a_title_has_no_notes() -> None:
    found = Push(number=1, ref=MAIN, commit="c", title="")

    assert notes(found, None, []) == ""


@settings(max_examples=30)
@given(st.sampled_from(["", "Lamps."]), st.lists(st.integers(1, 200), max_size=100), st.integers(1, 8))
def test_notes_fit(head: str, sizes: list[int], times: int) -> None:
    lines = ["ü" * each for each in sizes * times]
    text = shortened(head, lines)

    assert len(text.encode("utf-8", "replace")) <= MAX_NOTES_BYTES
    assert "- and" in text or text == "\n".join([*[head, ""] * bool(head and lines), *lines] or [head]).rstrip("\n")


@pytest.mark.parametrize("name", ["", "Beta", "-x", "a" * 33, "a b", "é", "a\n"])
def test_what_is_no_channel(name: str) -> None:
    with pytest.raises(BadInputError, match="channel"):
        channel_name(name)


def test_notes_and_reasons_are_plain_and_bounded() -> None:
    assert checked_notes("new:\r\n\tlamps\n") == "new:\n\tlamps"
    assert checked_reason(" bricks boards ") == "bricks boards"
    with pytest.raises(TooLargeError):
        checked_notes("ü" * (MAX_NOTES_BYTES // 2 + 1))
    with pytest.raises(BadInputError):
        checked_notes("\x1b[2J")
    with pytest.raises(BadInputError):
        checked_notes("half of a character: \ud83d")
    for text in ("", " ", "a\nb", "x" * 301):
        with pytest.raises(BadInputError):
            checked_reason(text)
