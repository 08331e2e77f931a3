"""A release of the agent itself: the program on a board that takes updates (docs/ota.md, Agent)."""

import datetime
from dataclasses import dataclass

from service.domain.release import ReleaseDigest

REPOSITORY = "kiln/agent"
NAME = "kiln-agent"
BOARD = "any"
MPY = 6  # bytecode of MicroPython 1.19 and newer


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRelease:
    digest: ReleaseDigest
    counter: int
    version: str
    index_digest: str  # equal files have an equal one
    statement: str
    object_digest: str
    size_bytes: int
    created_at: datetime.datetime

    @property
    def wanted(self) -> dict[str, object]:
        """As a configuration names it."""
        return {"release": self.digest, "size": self.size_bytes, "counter": self.counter}
