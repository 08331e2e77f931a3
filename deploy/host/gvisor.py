"""gVisor for tests: Debian's `runsc`, made known to Docker as a runtime. Standard library only.

A running Docker Engine takes new runtimes from daemon.json at SIGHUP; no container notices.
"""

import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

PACKAGE = "runsc"
CONFIG = pathlib.Path("/etc/docker/daemon.json")
PID = pathlib.Path("/var/run/docker.pid")
# The sandbox uses the sockets of the network namespace that Docker made for the container, which has `lo` alone for a
# build. Its own network stack cannot ask Docker's resolver on a container's own network, and Debian's version of it
# does not start on Linux 6.18.
RUNTIME = {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=host"]}
MACHINES = ("x86_64", "aarch64")  # that Debian has the package for
PATIENCE_S = 20.0

Say = Callable[[str], None]


class RuntimeMissingError(Exception):
    """Docker does not take the runtime; the message says what to do."""


def is_wanted() -> bool:
    """Whether it is ours to install. Ubuntu does not have the package in every version."""
    try:
        name = platform.freedesktop_os_release()["ID"]
    except OSError:
        return False
    return name == "debian" and platform.machine() in MACHINES and not os.environ.get("DOCKER_HOST")


def register(say: Say) -> None:
    """Do nothing when it is there, or cannot be. Raises: RuntimeMissingError."""
    if os.geteuid() or os.environ.get("DOCKER_HOST") or not shutil.which(PACKAGE) or is_known():
        return
    say("making gVisor known to Docker Engine")
    tell(CONFIG, PID)
    deadline = time.monotonic() + PATIENCE_S
    while not is_known():
        if time.monotonic() > deadline:
            raise RuntimeMissingError(f"Docker does not take the runtime runsc from {CONFIG}: restart it, see its log")
        time.sleep(0.1)


def is_known() -> bool:
    question = ["docker", "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"]
    return "runsc" in subprocess.run(question, check=False, capture_output=True, text=True).stdout.split()


def tell(config: pathlib.Path, pid: pathlib.Path) -> None:
    """Name the runtime in Docker's configuration, and have it read. Raises: RuntimeMissingError."""
    try:
        known = json.loads(config.read_text()) if config.exists() else {}
        known.setdefault("runtimes", {}).setdefault("runsc", RUNTIME)
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps(known, indent=2) + "\n")
        os.kill(int(pid.read_text()), signal.SIGHUP)
    except (OSError, ValueError, AttributeError) as error:
        raise RuntimeMissingError(f"gVisor cannot be made known to Docker by {config} and {pid}: {error}") from error
