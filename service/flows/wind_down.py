"""Wind down: what still works on cancelled builds is stopped, wherever it is."""

from collections.abc import Callable, Sequence

from service.domain.build import BuildId
from service.records import Builds


def wind_down(*, builds: Builds, stop: Callable[[Sequence[BuildId]], None]) -> int:
    """How many builds it was. Safe to repeat: a build stays on the list until its workflow and jobs were told.

    `stop` ends the workflows of builds and of their jobs; a runner removes the container of a job that it works on.
    """
    names = builds.winding()
    if names:
        stop(names)
        builds.wound(names)
    return len(names)
