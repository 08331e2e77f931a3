"""The application as the agent sees it: it runs, or it ended and why."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.other_agent import runner


class Program:
    """One start of an application."""

    def __init__(self, folder: Path, mark: Path, settings: dict[str, Any]) -> None:
        mark.unlink(missing_ok=True)
        self.begun = time.monotonic()
        self._errors = mark.with_suffix(".err")
        with self._errors.open("wb") as errors:
            self._child = subprocess.Popen(
                [sys.executable, str(Path(runner.__file__)), str(folder), str(mark), json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                cwd=folder,
            )

    def fault(self) -> tuple[str, str] | None:
        """Why it failed, a reason code and a text; None where it did not."""
        code = self._child.poll()
        if not code:  # one that ends by itself did no wrong
            return None
        lines = self._errors.read_text(errors="replace").splitlines()
        reason = "import_error" if code == runner.RAISED_AT_START else "crashed"
        return reason, (lines[-1] if lines else f"ended with {code}")

    def lines(self) -> list[str]:
        return self._errors.read_text(errors="replace").splitlines()

    def stop(self) -> None:
        self._child.kill()
        self._child.communicate()
