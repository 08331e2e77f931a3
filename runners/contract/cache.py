"""The name of a build's result before it is built: equal for requests that must give the same bytes, and for no others.

The staged tree stands for all that the repository contributes (its files after source folder, overlay and excludes,
and the compiler's arguments), the image's digest for every tool. What is in neither and still decides the outcome is
named here. Pure, standard library only.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from runners.contract.job import ContractError, Job, Result

VERSION = 1  # raise it when recipes judge or pack outputs in another way
# Options whose whole effect is in the staged tree and its warnings: naming them would only tell apart what is the same.
STAGED = frozenset({"source", "overlay", "exclude", "settings", "layout"})

_KEY = re.compile(r"[0-9a-f]{64}")


def key(job: Job, *, tree: bytes, origins: Mapping[str, str], image: str, board: str = "") -> str:
    """SHA-256, hex, of everything that decides the outcome, down to the paths that warnings name.

    `tree` is what the container is given, `origins` names each file of it as the repository does, `image` is the
    build image's digest, `board` what the catalogue says of the board.
    """
    options = {name: value for name, value in job.to_json()["options"].items() if name not in STAGED}
    return digest(
        {
            "version": VERSION,
            "family": job.family,
            "board": [job.board, board],
            "limits": job.to_json()["limits"],
            "image": image,
            "tree": hashlib.sha256(tree).hexdigest(),
            "origins": dict(origins),
            "options": options,
        }
    )


def digest(request: Mapping[str, Any]) -> str:
    """SHA-256, hex, over one text for each JSON value: unequal values never share a text, and order never matters."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def to_keep(result: Result) -> dict[str, Any]:
    """What a later job takes over: what was made, and what was said about that.

    Not what was said about the source: some of it is about files that are not in the tree, and may be true no more.
    """
    kept = result.to_json()
    own = {name: kept[name] for name in ("job", "artifacts", "sizes")}
    return {**own, "warnings": kept["warnings"][result.source_warnings :]}


def taken(kept: Mapping[str, Any], *, job: str) -> Result:
    """The result of `job`, taken over. Raises: ContractError."""
    empty = Result.from_json({"job": job, "outcome": "succeeded", "annotations": [], "artifacts": []}).to_json()
    try:
        same = {name: kept[name] for name in ("warnings", "artifacts", "sizes")}
        return Result.from_json({**empty, **same, "cached_from": kept["job"]})
    except KeyError as error:
        raise ContractError(f"not a kept result: {error}") from error
