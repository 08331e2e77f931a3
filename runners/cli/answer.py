"""What `kiln build --json` answers."""

from collections.abc import Iterable
from typing import Any

from runners.cli.build import Built, Source
from runners.contract.job import Outcome
from runners.verdict import sentence

BUILT, BUILD_FAILED, TROUBLE = 0, 1, 2  # exit codes


def code_of(built: Iterable[Built]) -> int:
    """The exit code: trouble of ours counts for more than a build that failed."""
    built = list(built)
    outcomes = {each.result.outcome for each in built}
    if outcomes & {Outcome.ERROR, Outcome.CANCELLED} or any(each.trouble for each in built):
        return TROUBLE
    return BUILT if outcomes <= {Outcome.SUCCEEDED} else BUILD_FAILED


def answer(source: Source, built: Iterable[Built]) -> dict[str, Any]:
    """JSON, the boards in the order of their names. Paths are where `--output` put the files, else null."""
    return {
        "name": source.manifest.name,
        "commit": source.taken.commit or None,
        "changed": [sentence(each) for each in source.taken.changed],
        "boards": [_board(each) for each in sorted(built, key=lambda one: one.board)],
    }


def _board(built: Built) -> dict[str, Any]:
    result = built.result.to_json()
    for made in result["artifacts"]:
        made["path"] = str(built.folder / made["name"]) if built.folder else None
    told = ("outcome", "message", "annotations", "warnings", "sizes", "artifacts", "image", "seconds")
    flash = {"flash": _flash(built) if built.flash else "", "flash_error": built.trouble, "flash_note": built.note}
    said = {name: value for name, value in flash.items() if value}
    return {"board": built.board, **{name: result[name] for name in told}, **said}


def _flash(built: Built) -> dict[str, Any]:
    assert built.flash is not None
    assert built.folder is not None
    made = built.flash
    path = str(built.folder / made.name)
    return {"name": made.name, "digest": made.digest, "size_bytes": made.size_bytes, "path": path}
