"""The files for one board, and what MicroPython looks for by name."""

from dataclasses import dataclass, field

from runners.contract.job import Annotation

MAIN, BOOT = "main.py", "boot.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What goes to the board, before anything is compiled."""

    origins: dict[str, str]  # path on the board -> path in the repository
    made: dict[str, bytes] = field(default_factory=dict)  # path on the board -> what Kiln itself puts there
    kept: frozenset[str] = frozenset({MAIN, BOOT})  # stays source; everything else may be bytecode
    warnings: tuple[Annotation, ...] = ()
