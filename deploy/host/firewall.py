"""A second line before the addresses where clouds keep the secrets of their machines. Standard library only.

The first is the driver of git itself (build-images/source/fetcher/address.py). This one holds for whoever takes it
over: nothing from a network of Kiln's containers, whose interfaces begin with `kiln-`, gets there. It is in the table
`raw`, which Docker does not touch, and so before every other rule, also where this machine itself is meant.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

# Link-local for most clouds; Alibaba, Azure, Oracle.
ADDRESSES = ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
# They all speak HTTP. Port 53 stays open: on some clouds names are resolved at the very same address.
WHAT = ("-i", "kiln-+", "-p", "tcp", "!", "--dport", "53")
LOCK_S = "10"  # how long another program may change the tables

Say = Callable[[str], None]


def hold(say: Say) -> None:
    """Add the rules that are missing, where we may.

    They end with the machine: every set-up looks for them, and the systemd unit of docs/operations.md at every start.
    """
    if os.geteuid() or not shutil.which("iptables"):
        return
    for rule in _rules():
        if not _is_done("-C", rule):
            say(f"closing {rule[1]} to containers that fetch sources")
            if not _is_done("-A", rule):
                say("iptables refuses that: see docs/operations.md, Metadata addresses")


def _rules() -> Iterator[tuple[str, ...]]:
    for address in ADDRESSES:
        yield ("-d", address, *WHAT, "-j", "DROP")


def _is_done(how: str, rule: tuple[str, ...]) -> bool:
    command = ["iptables", "-w", LOCK_S, "-t", "raw", how, "PREROUTING", *rule]
    return not subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    hold(lambda text: print(text, flush=True))
