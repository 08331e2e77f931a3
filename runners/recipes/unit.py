"""The files of a Pepeunit unit as a board with Kiln's agent takes them (docs/pepeunit.md)."""

import re

from runners.contract import pepeunit
from runners.contract.job import MAX_MESSAGE_CHARS, Annotation
from runners.errors import RefusedError
from runners.recipes.chosen import BOOT, MAIN, Chosen
from runners.recipes.snapshot import Snapshot

OWN_MAIN, OWN_BOOT = "unit_main.py", "unit_boot.py"  # where the unit's main.py and boot.py are on the board

# MicroPython runs boot.py and main.py in one namespace, whose __name__ is "__main__", and units rely on both. The
# agent imports main.
_START = """\
# Made by Kiln: starts a Pepeunit unit as MicroPython does.
unit = {"__name__": "__main__"}
"""
_RUN_BOOT = f'execfile("{OWN_BOOT}", unit)\n'
_RUN_MAIN = f'execfile("{OWN_MAIN}", unit)\n'
# The client's loop is asyncio's since 2026: the agent is a task beside it, as in any application.
_BESIDE = """\
try:
    import asyncio

    import ota

    asyncio.create_task(ota.task())
except ImportError:
    pass
"""
# An older unit never calls the agent. That it came so far has to do for the confirmation of a trial, and the agent
# gets a moment to report it; updates are taken at a start.
_BEFORE = """\
try:
    import ota

    ota.healthy()
    ota.sleep_ms(3000)
except ImportError:
    pass
"""
_UNIT_ONLY = (pepeunit.ENV, pepeunit.ABOUT)
_LINE = re.compile(rf"\A{re.escape(pepeunit.ABOUT)} line (\d+):")
_OF_ONE_DEVICE = ("env.json", "schema.json")


def arrange(origins: dict[str, str], snapshot: Snapshot) -> Chosen:
    """`origins` are what .pepeignore leaves, `MAIN` among them. Raises: RefusedError when a name is taken."""
    files = {path: origin for path, origin in origins.items() if path not in _UNIT_ONLY}
    warnings = _about(snapshot.files.get(pepeunit.ABOUT) or b"")
    for path in _OF_ONE_DEVICE:
        if origin := files.pop(path, None):
            text = f"{path} is left out: it belongs to one device, and every board gets the same files"
            warnings.append(Annotation(path=origin, line=1, text=text))
    for path in [path for path in files if path.endswith(".mpy") and f"{path[:-4]}.py" in files]:
        source = files[f"{path[:-4]}.py"]
        text = f"{path} is left out: MicroPython takes {source} before it, which is compiled for each board"
        warnings.append(Annotation(path=files.pop(path), line=1, text=text))
    for taken in (OWN_MAIN, OWN_BOOT):
        if taken in files:
            raise RefusedError(f"{files[taken]} has a name that Kiln needs for the unit's own main.py: rename it")
    start = _start(snapshot.files.get(files[MAIN]) or b"", has_boot=BOOT in files)
    files = {_renamed(path): origin for path, origin in files.items()}
    files[pepeunit.SCHEMA] = pepeunit.SCHEMA  # whatever .pepeignore says: a device's schema.json is made of it
    return Chosen(
        origins=files,
        made={MAIN: start.encode()},
        kept=frozenset({MAIN, OWN_MAIN, OWN_BOOT}),
        warnings=tuple(warnings),
    )


def _about(content: bytes) -> list[Annotation]:
    """What is wrong with a file that decides nothing that Pepeunit asks for."""
    found = []
    for said in pepeunit.About.parse(content).complaints:
        line = _LINE.search(said)
        text = f"{said}. What cannot be read of {pepeunit.ABOUT} is passed over"[:MAX_MESSAGE_CHARS]
        found.append(Annotation(path=pepeunit.ABOUT, line=int(line[1]) if line else 1, text=text))
    return found


def _start(main: bytes, *, has_boot: bool) -> str:
    agent = _BESIDE if b"asyncio" in main else _BEFORE
    return _START + (_RUN_BOOT if has_boot else "") + agent + _RUN_MAIN


def _renamed(path: str) -> str:
    return {MAIN: OWN_MAIN, BOOT: OWN_BOOT}.get(path, path)
