"""Near: which of the known names somebody may have meant who typed another."""

import difflib
from collections.abc import Iterable

MAX_SHOWN = 3
MAX_NAME_CHARS = 80  # of what was typed: more of it is neither compared nor repeated
CLOSE = 0.6  # of two names, as difflib measures: 1 for equal ones


def nearest(typed: str, known: Iterable[str]) -> list[str]:
    """The nearest first, at most MAX_SHOWN: those that end in what was typed, as paths do, then those that are like it.

    Upper and lower case are the same here.
    """
    word = typed[:MAX_NAME_CHARS].strip().strip("/").lower()
    if not word:
        return []
    names = {each.lower(): each for each in known}
    ends = sorted(each for each in names if each == word or each.endswith(f"/{word}"))
    alike = [
        each for each in difflib.get_close_matches(word, names, n=len(names) or 1, cutoff=CLOSE) if _is_last(word, each)
    ]
    return [names[each] for each in dict.fromkeys([*ends, *alike])][:MAX_SHOWN]


def _is_last(word: str, name: str) -> bool:
    """Whether the last parts of two paths look alike: what comes before them is mostly the same for all."""
    last, other = word.rpartition("/")[2], name.rpartition("/")[2]
    return difflib.SequenceMatcher(None, last, other).ratio() >= CLOSE


def asked(typed: str, known: Iterable[str]) -> str:
    """What is added to a sentence that says that there is no such name; empty where none is near."""
    found = nearest(typed, known)
    return f"; did you mean {' or '.join(found)}?" if found else ""
