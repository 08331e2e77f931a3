"""CPython's stand-in for the one MicroPython name that the agent's modules need at import."""

import sys
from types import ModuleType

if "micropython" not in sys.modules:
    stand_in = ModuleType("micropython")
    stand_in.const = lambda value: value  # type: ignore[attr-defined]
    sys.modules["micropython"] = stand_in
