"""Which runtime containers get, and what the engine under them does not hold.

A runtime is what Docker starts a container by: `runc`, which shares the host's kernel, or `runsc` (gVisor), which
brings a kernel of its own. Reasons and differences: docs/decisions/0015-sandbox.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runners.contract.job import Limits
from runners.errors import EngineError

SHARE_THE_KERNEL = frozenset({"", "runc", "crun", "youki", "io.containerd.runc.v2"})
# A kernel of its own runs as threads and processes that the engine counts as the build's. Debian's runsc needs 90
# of them before the first command runs.
OWN_KERNEL_PIDS = 256
# What an engine says of itself (Docker Engine API, SystemInfo), and what is not held when it says no.
HOLDS = {"MemoryLimit": "memory", "SwapLimit": "swap", "CpuCfsQuota": "processor", "PidsLimit": "processes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """`name` as the engine knows it; empty for the engine's own."""

    name: str = ""

    @property
    def options(self) -> dict[str, str]:
        """Of a container's host configuration."""
        return {"runtime": self.name} if self.name else {}

    @property
    def shares_the_kernel(self) -> bool:
        return self.name in SHARE_THE_KERNEL

    def pids(self, limits: Limits) -> int:
        return limits.pids + (0 if self.shares_the_kernel else OWN_KERNEL_PIDS)


ENGINES_OWN = Runtime()


def find(name: str, info: Mapping[str, Any]) -> Runtime:
    """`info` is what the engine says of itself. Raises: EngineError when it has no runtime of this name."""
    known = sorted(info.get("Runtimes") or {})
    if name and name not in known:
        raise EngineError(
            f"KILN_RUNTIME is {name[:64]!a}, but the engine has {', '.join(known) or 'none'}: register it in"
            " Docker's daemon.json (docs/operations.md, Another runtime), or leave KILN_RUNTIME empty"
        )
    return Runtime(name=name)


def weaknesses(info: Mapping[str, Any]) -> list[str]:
    """What limits this engine does not hold: of a rootless engine on cgroup v1, all of them."""
    is_lame = info.get("CgroupDriver") == "none"
    return [what for key, what in HOLDS.items() if is_lame or not info.get(key)]


def is_rootless(info: Mapping[str, Any]) -> bool:
    return any("name=rootless" in each for each in info.get("SecurityOptions") or ())
