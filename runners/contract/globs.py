"""Globs that choose files of a repository."""

import fnmatch
import functools


def is_chosen(path: str, globs: tuple[str, ...]) -> bool:
    """Whether a glob fits `path` or a folder that holds it. ``**`` stands for any number of folders."""
    parts = tuple(path.split("/"))
    return any(
        _fits(parts[:count], tuple(each.strip("/").split("/"))) for each in globs for count in range(1, len(parts) + 1)
    )


def _fits(path: tuple[str, ...], glob: tuple[str, ...]) -> bool:
    """Part by part with remembered answers, so that no pattern costs more than parts times parts."""

    @functools.cache
    def fits(at: int, within: int) -> bool:
        if within == len(glob):
            return at == len(path)
        if glob[within] == "**":
            return fits(at, within + 1) or (at < len(path) and fits(at + 1, within))
        return at < len(path) and fnmatch.fnmatchcase(path[at], glob[within]) and fits(at + 1, within + 1)

    return fits(0, 0)
