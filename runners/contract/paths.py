"""What the file system of a board may hold: the rules of docs/ota.md, "Index"."""

import re
from collections.abc import Iterable

MAX_PATH_CHARS = 100
# What would run before the agent, or instead of it.
AGENTS_FILES = frozenset(
    {"ota", *(f"{name}.{kind}" for name in ("boot", "ota", "ota_loader") for kind in ("py", "mpy"))}
)
_PATH = re.compile(r"[A-Za-z0-9._/-]+")


def complaint(paths: Iterable[str]) -> str | None:
    """What is wrong with the first path that a board must not be given, or None."""
    seen: dict[str, str] = {}
    for path in paths:
        said = _complaint(path)
        if said is None and (other := seen.get(path.lower())) is not None:
            said = f"{path} and {other} are the same file where upper and lower case are one"
        if said is not None:
            return said
        seen[path.lower()] = path
    for path in seen.values():
        folders = (path[:cut] for cut, char in enumerate(path) if char == "/")
        if folder := next((each for each in folders if each.lower() in seen), None):
            return f"{folder} is a file and a folder"
    return None


def _complaint(path: str) -> str | None:
    shown = ascii(path[:120])
    if len(path) > MAX_PATH_CHARS:
        return f"the path {shown} has {len(path)} characters, a board takes {MAX_PATH_CHARS}"
    if not _PATH.fullmatch(path):
        return f"the path {shown} has characters other than A-Z a-z 0-9 . _ - /"
    if {"", ".", ".."} & set(path.split("/")):
        return f"the path {shown} is not relative and plain"
    if path.lower() in AGENTS_FILES:
        is_start = path.lower().startswith("boot.")
        what = "move what it does to the top of main.py" if is_start else "rename it"
        return f"{path} belongs to Kiln's agent on the board: {what}, or exclude it"
    if path.split("/", maxsplit=1)[0].lower() == "ota":
        return f"{path} is in ota/, which belongs to Kiln's agent on the board: rename the folder"
    return None
