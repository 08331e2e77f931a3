# What a device says about itself (docs/ota.md, "Report"): at most 1,024 bytes of JSON.
import json
import sys

from ota import hal, slots


def compose(agent, what, reason, detail, release):
    """The report as text; `release` is what the state is about."""
    state = agent.state
    slot = state["active"]
    record = state[slot] if slot else None
    return json.dumps(
        {
            "v": 1,
            "state": what,
            "reason": reason,
            "detail": _plain(detail, 200),
            "release": release,
            "running": record["release"] if record else "",
            "version": record["version"] if record else "",
            "counter": record["counter"] if record else 0,
            "seq": state["seq"],
            "board": agent.device["board"],
            "slot": slot,
            "boots": state["trial"]["boots"] if state["trial"] else 0,
            "free": slots.free(agent.root),
            "heap": hal.free_heap(),
            "mpy": hal.mpy(),
            "sys": _plain(sys.version, 80),
        }
    )


def _plain(text, limit):
    # One byte a character: the limit of the report is in bytes. Quotes would double.
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text[:limit])
