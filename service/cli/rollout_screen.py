"""How far a roll-out is, as people see it."""

import sys
from time import monotonic, sleep
from typing import Any

from service.cli.client import Client, CommandError
from service.domain.summary import plain

EVERY_S = 1.0  # how often it is looked at
LOOK_S = 0.2
OVER_S = 10.0  # how long one that was aborted may take to call 1,000 devices back, and more
STATES = ("done", "failed", "ordered", "pending", "held", "left")
ENDED = ("done", "failed", "left")
OVER = ("finished", "aborted", "superseded")
WIDTH = 30  # characters of a bar


def picture(found: dict[str, Any]) -> str:
    """Lines for a terminal. What devices say is in them: no control character of it gets there."""
    lines = [_head(found)]
    for each in found["items"]:
        numbers = ", ".join(f"{each[state]} {state}" for state in STATES if each[state]) or "nobody"
        mark = ">" if each["number"] == found["stage"] and found["state"] not in OVER else " "
        lines.append(f"{mark} stage {each['number']} ({plain(each['name'])}): {numbers}")
    if found["failures"]:
        lines.append("failed:")
        lines += [
            f"  {plain(each['device'])}: {plain(each['reason'] or 'no reason given')}" for each in found["failures"]
        ]
        more = found["counts"]["failed"] - len(found["failures"])
        lines += [f"  and {more} more: kiln rollouts devices {found['id']} --state failed"] if more > 0 else []
    silent = [each["device"] for each in found["unheard"][:5]]
    if silent and found["state"] not in OVER:
        lines.append(f"told, without an outcome yet: {plain(', '.join(silent))}{' ...' * (len(found['unheard']) > 5)}")
    return "\n".join(lines)


def _head(found: dict[str, Any]) -> str:
    why = f": {plain(found['why'])}" if found["why"] else ""
    where = plain(f"{found['version']} to {found['channel']} of {found['repository']}")
    return f"roll-out {found['id']}, {where}: {found['state']}{why}"


def follow(client: Client, path: str) -> Any:
    """Until it ends, or somebody has to decide. Raises: CommandError when it did not finish."""
    show = _live if sys.stdout.isatty() else _lines
    found = show(client, path)
    if found["state"] != "finished":
        print(picture(found), file=sys.stderr, flush=True)
        raise CommandError(f"roll-out {found['id']} is {found['state']}: it goes no further by itself")
    return found if not sys.stdout.isatty() else picture(found)


def when_over(client: Client, path: str) -> dict[str, Any]:
    """One that was given up, as it is when nothing of it is left to be done, or after OVER_S."""
    deadline = monotonic() + OVER_S
    while True:
        found: dict[str, Any] = client.call("GET", path)
        if found["finished_at"] is not None or monotonic() >= deadline:
            return found
        sleep(LOOK_S)


def _is_to_be_watched(found: dict[str, Any]) -> bool:
    return found["state"] == "running" or (found["state"] == "waiting" and found["approval"] is None)


def _lines(client: Client, path: str) -> dict[str, Any]:
    """One line for each change, for logs; to standard error, for the answer goes to standard output."""
    said = ""
    while True:
        found: dict[str, Any] = client.call("GET", path)
        counts = ", ".join(f"{found['counts'][state]} {state}" for state in STATES if found["counts"][state])
        line = f"{_head(found)} (stage {found['stage']} of {found['stages']}: {counts})"
        if line != said:
            print(line, file=sys.stderr, flush=True)
            said = line
        if not _is_to_be_watched(found):
            return found
        sleep(EVERY_S)


def _live(client: Client, path: str) -> dict[str, Any]:
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415  # a tenth of a second

    found: dict[str, Any] = client.call("GET", path)
    words = [TextColumn("{task.description}", markup=False), BarColumn(WIDTH), TextColumn("{task.fields[counts]}")]
    with Progress(*words, transient=True) as progress:
        tasks = {each["number"]: progress.add_task(each["name"], counts="") for each in found["items"]}
        while True:
            for each in found["items"]:
                numbers = ", ".join(f"{each[state]} {state}" for state in STATES if each[state])
                ended = sum(each[state] for state in ENDED)
                total = sum(each[state] for state in STATES)
                progress.update(tasks[each["number"]], completed=ended, total=total or 1, counts=numbers)
            if not _is_to_be_watched(found):
                return found
            sleep(EVERY_S)
            found = client.call("GET", path)
