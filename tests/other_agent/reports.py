"""What a device says about itself (docs/ota.md: Report)."""

import json
import os
import sys
from typing import Any

from tests.other_agent.store import Store
from tests.other_agent.updating import MPY

REPORT_BYTES, TEXT = 1024, 200


def report(store: Store, *, state: str, reason: str, detail: str, release: str, stale: bool) -> bytes:
    own, statement, disk = store.state, store.statement(), os.statvfs(store.folder)
    value: dict[str, Any] = {
        "v": 1,
        "state": state,
        "reason": reason,
        "detail": detail[-TEXT:],
        "release": release,
        "running": own.running.release,
        "version": statement.version if statement else "",
        "counter": statement.counter if statement else 0,
        "seq": own.floors.seq,
        "board": store.enrolled["board"],
        "slot": own.running.slot,
        "boots": own.boots,
        "config": own.running.config,
        "agent": 0,  # no release of an agent that Kiln makes runs here
        "root": store.trust.version,
        "free": min(disk.f_bavail * disk.f_frsize, 2**31 - 1),
        "heap": min(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 2**31 - 1),
        "mpy": MPY,
        "sys": sys.version[:60],
    }
    if own.last:
        value["last"] = own.last[-TEXT:]
    if stale:
        value["stale"] = True
    for name in ("last", "detail"):  # they lose their beginning: the end has file and line
        while len(encoded(value)) > REPORT_BYTES and value.get(name):
            value[name] = value[name][len(encoded(value)) - REPORT_BYTES :]
    return encoded(value)


def encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
