"""The child process in which an application runs: main.py of a slot, with `ota` as it knows it.

    python runner.py FOLDER MARK SETTINGS

MARK is a file that is there once the application called the agent. The last line of standard error is the
exception, with file and line.
"""

import json
import os
import runpy
import sys
import threading
import time
import traceback
import types
from pathlib import Path

RAISED_AT_START, RAISED_LATER = 3, 4


def agent(mark: Path, settings: object) -> types.ModuleType:
    module = types.ModuleType("ota")

    def tick() -> None:
        mark.touch()

    def sleep_ms(milliseconds: int) -> None:
        tick()
        time.sleep(milliseconds / 1000)

    vars(module).update(settings=settings, tick=tick, sleep_ms=sleep_ms)
    return module


def end_with_agent() -> None:
    """The agent holds our standard input: when it is gone, however it went, so are we."""
    os.read(0, 1)
    os._exit(0)


def main() -> int:
    threading.Thread(target=end_with_agent, daemon=True).start()
    folder, mark = Path(sys.argv[1]), Path(sys.argv[2])
    sys.modules["ota"] = agent(mark, json.loads(sys.argv[3]))
    sys.path.insert(0, str(folder))
    try:
        runpy.run_path(str(folder / "main.py"))
    except Exception as error:  # noqa: BLE001 - whatever the application raises is told
        frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename.startswith(str(folder))]
        place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        sys.stderr.write(f"{type(error).__name__}: {error}{place}\n")
        return RAISED_LATER if mark.exists() else RAISED_AT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
