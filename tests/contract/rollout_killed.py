"""A process that rolls a release out, and is killed at a moment that it is told: its arguments are FOLDER and MOMENT.

MOMENT is `<verb>-<number>-<before|after>`: of the nth call of a verb of `Crowd` or `Rollouts`; `never` goes to the end.
"""

import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any

from service.adapters.builds import DatabaseBuilds
from service.adapters.channels import DatabaseChannels
from service.adapters.clock import SystemClock
from service.adapters.crowd import DatabaseCrowd
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.keys import FileKeys
from service.adapters.rollouts import DatabaseRollouts
from service.domain.build import BuildId
from service.flows import announce, lead_back, rollouts
from service.flows.rollout_parts import Parts


def deadly(act: Callable[..., Any], number: int, *, after: bool) -> Callable[..., Any]:
    """`act`, but for the nth call: then this process ends as by a power cut."""
    calls = 0

    def called(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = act(*given, **named)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return called


def main(folder: pathlib.Path, moment: str) -> None:
    engine = open_database(f"sqlite:///{folder / 'kiln.db'}", durable=False)
    crowd, every = DatabaseCrowd(engine), DatabaseRollouts(engine)
    if moment != "never":
        verb, number, when = moment.split("-")
        of: Any = crowd if hasattr(crowd, verb) else every
        setattr(of, verb, deadly(getattr(of, verb), int(number), after=when == "after"))
    parts = Parts(
        builds=DatabaseBuilds(engine, start=lambda _connection, _starts: None),
        channels=DatabaseChannels(engine),
        fleet=DatabaseFleet(engine),
        rollouts=every,
        crowd=crowd,
        keys=FileKeys(folder / "keys"),
        clock=SystemClock(),
        obstacle=announce.nothing,
        understand=lambda device, _release: device,
        each=map,
        announced=lambda: None,
        stirred=lambda: None,
        alone=contextlib.nullcontext(),
        call_back=lead_back.call_back,
    )
    rollouts.begin(BuildId(1), parts)
    rollouts.advance_all(parts)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
