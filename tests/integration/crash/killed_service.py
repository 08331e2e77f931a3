"""The service, killed with SIGKILL once at one step: `python -m ... STEP PHASE MARK`.

MARK is a file that is made just before the kill, so that the next start survives.
"""

import os
import pathlib
import signal
import sys

from service import app
from service.adapters.logging_json import configure
from service.settings import Settings


def main() -> None:
    step, phase, mark = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])

    def kill(at_step: str, at_phase: str, _build: int) -> None:
        if (at_step, at_phase) == (step, phase) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    configure(terminal=False)
    app.serve(Settings.from_environment(os.environ), observe=kill)  # noqa: TID251  # it is a command


main()
