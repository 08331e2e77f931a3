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
from runners.contract.globs import is_chosen
from runners.contract.job import FILES_ARTIFACT, MAX_ANNOTATIONS, MAX_MESSAGE_CHARS, Annotation, Job, Size
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes.recipe import Made, Staged, pack_tree
from runners.recipes.snapshot import Snapshot

NEVER = ("**/.*", "**/__pycache__")  # what tools leave around
# When the source is the root.
ROOT_ONLY = ("kiln.toml", LOCK, "README*", "LICENSE*", "CHANGELOG*", "*.md", "docs", "tests")
MAIN = "main.py"
KEPT = (MAIN, "boot.py")  # what MicroPython looks for by name; everything else may be bytecode
MAX_BOARD_FILES = 512  # as docs/ota.md
LABEL = "kiln.micropython"  # of the build image: the versions that it can compile for

_TRACE = re.compile(r'  File "([^"\n]{1,200})", line (\d{1,9})(?:, in [^\n]*)?\n(\w+: [^\n]*|\w+)')
# Header of an .mpy file: 'M', version, flags, small-int bits (MicroPython, docs/reference/mpyfiles).
_HEADER_BYTES = 4
_ARCHES = {
    "x86": 1,
    "x64": 2,
    "armv6": 3,
    "armv6m": 4,
    "armv7m": 5,
    "armv7em": 6,
    "armv7emsp": 7,
    "armv7emdp": 8,
    "xtensa": 9,
    "xtensawin": 10,
    "rv32imc": 11,
    "rv64imc": 12,
}
_MPY_VERSION = 6  # of every MicroPython since 1.19, which is the oldest that a manifest may name


class MicroPython:
    """`runners.recipes.recipe.Recipe`."""

    image = "kiln/micropython:current"

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        versions = image.labels.get(LABEL, "").split()
        if job.options.micropython not in versions:
            raise RefusedError(
                f"this runner cannot compile for MicroPython {job.options.micropython}, only for {', '.join(versions)}"
            )
        chosen = _with_dependencies(_choose(job, snapshot), snapshot)
        compiled = sorted(path for path in chosen if path.endswith(".py") and path not in KEPT)
        _check(job, chosen, compiled)
        contents = {path: _content(snapshot, path, origin) for path, origin in chosen.items()}
        return Staged(tree=_tree(job, contents, compiled), origins=chosen)

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        found: list[Annotation] = []
        for printed, line, text in _TRACE.findall(log):
            path = printed.removeprefix("./")
            origin = staged.origins.get(path)
            if origin and len(found) < MAX_ANNOTATIONS:
                # Of a dependency the repository has no line to point at.
                at, said = (1, f"{path} line {line}: {text}") if origin == LOCK else (int(line), text)
                found.append(Annotation(path=origin, line=at, text=said[:MAX_MESSAGE_CHARS]))
        return tuple(found)

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        artifacts.check_paths(files)
        for path, content in files.items():
            if path.endswith(".mpy"):
                _check_bytecode(path, content, job)
        sizes = tuple(Size(name=path, size_bytes=len(files[path])) for path in sorted(files))
        return Made(artifacts={FILES_ARTIFACT: artifacts.pack(files)}, sizes=sizes)


def _choose(job: Job, snapshot: Snapshot) -> dict[str, str]:
    """Path on the board -> path in the repository: the source folder, with the overlay laid over it."""
    options = job.options
    source = options.source
    if source == "." and "main.py" not in snapshot.files and "src/main.py" in snapshot.files:
        source = "src"
    below = snapshot.under(source)
    if not below:
        raise RefusedError(f'the folder {source} that "source" names is empty or missing')
    exclude = NEVER + options.exclude + (ROOT_ONLY if source == "." else ())
    overlay = snapshot.under(options.overlay) if options.overlay else {}
    if options.overlay and not overlay:
        raise RefusedError(f'the folder {options.overlay} that "overlay" names for {job.board} is empty or missing')
    laid_over = set(overlay.values())
    chosen = {path: origin for path, origin in below.items() if origin not in laid_over}
    chosen = {path: origin for path, origin in (chosen | overlay).items() if not is_chosen(path, exclude)}
    if MAIN not in chosen:
        raise RefusedError(f"there is no main.py in {source}: the board would have nothing to run")
    return chosen


def _with_dependencies(chosen: dict[str, str], snapshot: Snapshot) -> dict[str, str]:
    """Laid beside the repository's own files, and never over them: which of two is meant nobody could tell."""
    own = {path.lower(): origin for path, origin in chosen.items()}
    for path in snapshot.dependencies:
        if origin := own.get(path.lower()):
            said = "remove or exclude the file, or take its package out of [dependencies] and run `kiln lock`"
            raise RefusedError(f"{origin} and {path} of {LOCK} would be the same file on the board: {said}")
    return chosen | dict.fromkeys(snapshot.dependencies, LOCK)


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


def _check_bytecode(path: str, content: bytes, job: Job) -> None:
    header = content[:_HEADER_BYTES]
    if len(header) < _HEADER_BYTES or header[:1] != b"M":
        raise RefusedError(f"{path} is not an .mpy file")
    if header[1] != _MPY_VERSION:
        raise RefusedError(f"{path} is an .mpy file of version {header[1]}, {job.board} loads version {_MPY_VERSION}")
    arch = (header[2] >> 2) & 0xF
    if arch and arch != _ARCHES.get(job.options.arch or ""):
        wrong = next((name for name, number in _ARCHES.items() if number == arch), str(arch))
        raise RefusedError(f"{path} holds native code for {wrong}, which {job.board} cannot run")
