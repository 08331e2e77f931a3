# What a device says about itself (docs/ota.md, "Report"): at most 1,024 bytes of JSON.
import gc
import json
import sys

from micropython import const

from ota import chip, hal, slots, state as states

LIMIT = const(1024)  # bytes


def compose(agent, what, reason, detail, release):
    """The report as text; `release` is what the state is about."""
    state = agent.state
    slot = state["active"]
    record = state[slot] if slot else None
    fields = {
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
        "config": states.in_force(state),
        "agent": agent.loaded["counter"] if agent.loaded else 0,
        "root": agent.facts[0],
        "free": slots.free(agent.root),
        "heap": free_heap(),
        "mpy": hal.mpy(),
        "sys": _plain(sys.version[:60], 60),
    }
    if _is_stale(agent):
        fields["stale"] = True
    if state["last"]:
        fields["last"] = _plain(state["last"], 120)
    cause = chip.cause()
    if cause:
        fields["cause"] = cause
    return _fit(fields)


def free_heap():
    """Free bytes of the heap, 0 where that is unknown."""
    gc.collect()
    return gc.mem_free() if hasattr(gc, "mem_free") else 0


def _is_stale(agent):
    # Nobody said what time it is for days, or the root document is past its end.
    now = max(agent.clock.now() or 0, agent.state["time"])
    return agent.clock.stale(agent.device["stale_s"]) or 0 < agent.facts[1] < now


def _fit(fields):
    # Long names leave less room for sentences. What ends a sentence, file and line, is kept.
    text = json.dumps(fields)
    for name in ("last", "detail", "sys"):
        over = len(text) - LIMIT
        if over > 0 and name in fields:
            fields[name] = fields[name][over:]
            text = json.dumps(fields)
    return text


def _plain(text, limit):
    # One byte a character: the limit of the report is in bytes. Quotes would double.
    # By bytes: MicroPython keeps each character that a loop sees, for ever.
    raw = text.encode()[-limit:]  # the end counts: there are file and line
    return bytes(c if 32 <= c <= 126 and c not in (34, 92) else 39 for c in raw).decode()
