"""What every container is made with, whoever asks."""

from dataclasses import dataclass, replace
from typing import Any, Self

from docker.types import LogConfig

from runners.contract.job import Limits
from runners.docker_runtime import ENGINES_OWN, Runtime

WORK_INODES = 65_536
LOG_FILES, LOG_FILE_BYTES = 4, 32 << 20  # what the engine keeps of both streams; our own limits are lower
TAR_BYTES_A_FILE = 1536  # header, padding, and a long name's share


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is fixed when a container is made: all but the job."""

    image: str  # name or digest
    runner: str
    limits: Limits
    has_network: bool
    has_localhost: bool
    runtime: Runtime

    @classmethod
    def of(
        cls,
        *,
        image: str,
        runner: str,
        limits: Limits,
        has_network: bool = False,
        has_localhost: bool = True,
        runtime: Runtime = ENGINES_OWN,
    ) -> Self:
        """The time limit is kept from outside: jobs that differ in it can use the same container."""
        untimed = replace(limits, time_s=0.0)
        has = {"has_network": has_network, "has_localhost": has_localhost or has_network}
        return cls(image=image, runner=runner, limits=untimed, runtime=runtime, **has)

    @property
    def is_left_to_the_kernel(self) -> bool:
        """Whether the engine's own part of the network has nothing to do: an empty namespace is the kernel's to make.

        That part starts the daemon's whole binary once more for each container, half of what a container costs, and
        writes the file that names localhost. A kernel of its own takes what it has of a network from it.
        """
        return not self.has_localhost and self.runtime.shares_the_kernel


def tar_bytes(limits: Limits) -> int:
    return limits.output_bytes + limits.output_files * TAR_BYTES_A_FILE + (64 << 10)


def hardening(limits: Limits, runtime: Runtime, *, network: str) -> dict[str, Any]:
    """What every container gets, whoever asks: docs/decisions/0003-work-area.md has the reasons."""
    area = f"size={limits.disk_bytes},nr_inodes={WORK_INODES},uid=65534,gid=65534,mode=0700,nosuid,nodev"
    return {
        "network_mode": network,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "ipc_mode": "none",
        "pids_limit": runtime.pids(limits),
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,  # the same number: no swap
        "nano_cpus": int(limits.cpus * 1e9),
        # Where nothing is mounted at /tmp, gVisor mounts something to write to.
        "tmpfs": {"/work": area, "/tmp": "ro,size=4k"},  # noqa: S108  # read-only
        **runtime.options,
        "log_config": LogConfig(
            type="local", config={"max-size": str(LOG_FILE_BYTES), "max-file": str(LOG_FILES), "compress": "false"}
        ),
    }
