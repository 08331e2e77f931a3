"""Touched: which paths a push changed since its branch was last built, as far as that is known.

The commits that a push lists are what changed since the push before it. If that one was never built, because this
one took its place, what it changed counts too, or it would be lost.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.build import Build, Status
from service.domain.event import EventKind


class Known(enum.Enum):
    """What is known of what a push changed."""

    PATHS = "paths"  # exactly these
    COMPARE = "compare"  # what lies between two commits: the forge can tell
    NOTHING = "nothing"  # all counts as changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    known: Known
    paths: tuple[str, ...] = ()
    base: str = ""  # for COMPARE: the commit that was built last

    @classmethod
    def all(cls) -> "Touched":
        return cls(known=Known.NOTHING)


# These were built to their end, whatever came of it.
_BUILT = frozenset({Status.SUCCEEDED, Status.FAILED})


def touched(build: Build, earlier: Sequence[Build]) -> Touched:
    """`earlier` are the builds of the same ref before this one, newest first."""
    if build.kind is not EventKind.PUSH or not build.may_release:  # the latter is a re-run: somebody asked for it
        return Touched.all()
    base = build.before
    for each in earlier:
        if each.status is Status.SKIPPED and each.commit == base:
            base = each.before  # it held nothing to build, so what came before it is as good
        elif each.status in _BUILT and each.commit == build.commit:
            return Touched.all()  # nothing lies between: somebody wants the same built again
        elif each.status in _BUILT:
            if each.commit == base and build.changed is not None:
                return Touched(known=Known.PATHS, paths=build.changed)
            return Touched(known=Known.COMPARE, base=each.commit)
    return Touched.all()
