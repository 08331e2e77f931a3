"""Arduino boards with an AVR processor: a sketch and the libraries that it uses become one program.

The runner chooses the files: the sketch's folder, and folders of libraries. Inside the container arduino-builder
does what Arduino users expect: all .ino files are one, prototypes are made, only libraries whose headers are
included are compiled. Board data of the compiler is in the build image; what fits is in the catalogue.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from runners.contract.arduino import DEFAULT_LIBRARIES
from runners.contract.board import Catalogue, UnknownBoardError
from runners.contract.globs import is_chosen
from runners.contract.job import MAX_ANNOTATIONS, Annotation, Job, Size
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes import gcc
from runners.recipes.recipe import Made, Staged, pack_tree
from runners.recipes.snapshot import Snapshot

ELF, HEX = "firmware.elf", "firmware.hex"
SAID, SIZE = "said", "size"  # what build-images/arduino-avr/recipe lays beside them
LABEL = "kiln.boards"  # of the build image: the boards that it knows

SKETCH = (".ino", ".pde")
CODE = (*SKETCH, ".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".ipp", ".tpp", ".S", ".s")
NOT_COMPILED = frozenset({"examples", "extras", "doc", "docs", "test", "tests"})  # folders of a library

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
_CLOCK = re.compile(rb"\b__(DATE|TIME|TIMESTAMP)__\b")
_SECTION = re.compile(r"^(\.[a-z]+) +(\d{1,9}) ", re.MULTILINE)
# recipe.size.regex and recipe.size.regex.data of platform.txt, Arduino AVR core 1.8
_IN_FLASH, _IN_RAM = (".text", ".data", ".bootloader"), (".data", ".bss", ".noinit")
# e_machine of an ELF header, little endian (System V ABI; EM_AVR of the AVR supplement)
_ELF_MAGIC, _EM_AVR = b"\x7fELF", (83).to_bytes(2, "little")


class Arduino:
    """`runners.recipes.recipe.Recipe`."""

    image = "kiln/arduino-avr:current"
    runs_programs = False

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        if job.board not in image.labels.get(LABEL, "").split():
            raise RefusedError(f"the build image of this runner does not know {job.board}: make it anew")
        if job.options.overlay:
            raise RefusedError('"overlay" is for MicroPython: a sketch asks which board it is for by #ifdef')
        main = _main(job, snapshot)
        folder = main.rpartition("/")[0] or "."
        libraries = _library_folders(job, snapshot)
        chosen = {*_sketch_files(job, snapshot, folder), *_library_files(snapshot, libraries)}
        words = [job.board, main, *libraries]
        files = {f"in/{path}": _content(snapshot, path) for path in sorted(chosen)}
        warnings = _warnings_of_clock(files)
        files["job"] = "".join(f"{word}\n" for word in words).encode()
        files["fits"] = " ".join(str(each) for each in _fits(job)).encode()  # part of the request: `made` judges by it
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents if parent.name}
        origins = {path: path for path in chosen}
        return Staged(tree=pack_tree(files, folders), origins=origins, warnings=warnings)

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        return tuple(each for each in gcc.said(log, gcc.ERRORS) if each.path in staged.origins)

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        lacking = next((each for each in (ELF, HEX, SIZE) if not files.get(each)), None)
        if lacking:
            raise RefusedError(f"the build made no {lacking}")
        elf = files[ELF]
        if not elf.startswith(_ELF_MAGIC) or elf[18:20] != _EM_AVR:
            raise RefusedError(f"{ELF} is not a program for AVR")
        text = files.get(SAID, b"").decode("utf-8", "replace")
        warnings = tuple(gcc.said(text, gcc.WARNINGS))
        return Made(artifacts={ELF: elf, HEX: files[HEX]}, sizes=_sizes(job, files), warnings=warnings)


def _main(job: Job, snapshot: Snapshot) -> str:
    """The file that the sketch begins with. Raises: RefusedError naming the file that should be there."""
    source = job.options.source
    if source != ".":
        name = PurePosixPath(source).name
        found = [path for end in SKETCH if (path := f"{source}/{name}{end}") in snapshot.files]
        if not found:
            raise RefusedError(f"there is no {source}/{name}.ino: a sketch's main file has the name of its folder")
        return _checked(found[0])
    found = sorted(path for path in snapshot.files if "/" not in path and path.endswith(SKETCH))
    if not found:  # a repository with one sketch in a folder of its own needs no "source"
        paths = (PurePosixPath(path) for path in snapshot.files if path.count("/") == 1 and path.endswith(SKETCH))
        found = sorted(str(path) for path in paths if path.stem == path.parent.name)
    if len(found) != 1:
        what = f"are several sketches ({', '.join(found[:3])})" if found else "is no sketch"
        raise RefusedError(f'there {what}: name the folder of <name>.ino by "source" of [firmware]')
    return _checked(found[0])


def _sketch_files(job: Job, snapshot: Snapshot, folder: str) -> list[str]:
    """What arduino-builder looks at: the folder itself, and all of its folder ``src``."""
    return [
        origin
        for path, origin in snapshot.under(folder).items()
        if ("/" not in path or path.startswith("src/"))
        and not is_chosen(path, ("**/.*", *job.options.exclude))
        and _is_taken(origin)
    ]


def _library_folders(job: Job, snapshot: Snapshot) -> list[str]:
    found = []
    for folder in job.options.libraries or DEFAULT_LIBRARIES:
        if snapshot.under(folder):
            found.append(_checked(folder))
        elif job.options.libraries:
            raise RefusedError(f'the folder {folder} that "libraries" names is empty or missing')
    return found


def _library_files(snapshot: Snapshot, folders: list[str]) -> list[str]:
    found = []
    for folder in folders:
        for path, origin in snapshot.under(folder).items():
            parts = path.split("/")
            is_compiled = len(parts) > 1 and parts[1].lower() not in NOT_COMPILED
            if is_compiled and not any(each.startswith(".") for each in parts) and _is_taken(origin):
                found.append(origin)
    return found


def _is_taken(path: str) -> bool:
    """Files that are no code and have a name of their own are left out. Raises: RefusedError for code."""
    return bool(_WORD.fullmatch(path)) or (path.endswith(CODE) and bool(_checked(path)))


def _checked(path: str) -> str:
    """Paths are words of a command, and of the compiler's messages."""
    if not _WORD.fullmatch(path):
        raise RefusedError(f"the path {path[:120]!a} has characters other than A-Z a-z 0-9 . _ + - /: rename it")
    return path


def _content(snapshot: Snapshot, path: str) -> bytes:
    content = snapshot.files[path]
    if content is None:
        raise RefusedError(f"{path} is a symbolic link, which is not followed: replace it by the file")
    return content


def _warnings_of_clock(files: Mapping[str, bytes]) -> tuple[Annotation, ...]:
    """build-images/arduino-avr/fixed.h stops the clock."""
    found = []
    for path, content in files.items():
        if path.endswith(CODE) and (word := _CLOCK.search(content)):
            line = content.count(b"\n", 0, word.start()) + 1
            text = f"{word[0].decode()} is the same in every build (2000-01-01), so that a commit has the same bytes"
            found.append(Annotation(path=path.removeprefix("in/"), line=line, text=text))
    return tuple(found[:MAX_ANNOTATIONS])


def _sizes(job: Job, files: Mapping[str, bytes]) -> tuple[Size, ...]:
    """By what avr-size said. Raises: RefusedError when it is more than the board has."""
    sections = {name: int(size) for name, size in _SECTION.findall(files[SIZE].decode("ascii", "replace"))}
    flash = sum(sections.get(each, 0) for each in _IN_FLASH)
    ram = sum(sections.get(each, 0) for each in _IN_RAM)
    of_flash, of_ram = _fits(job)
    if flash > of_flash:
        raise RefusedError(f"the sketch takes {flash} bytes of flash, {job.board} has {of_flash}")
    if ram > of_ram:
        raise RefusedError(f"the sketch's variables take {ram} bytes of RAM, {job.board} has {of_ram}")
    return (
        *(Size(name=name, size_bytes=len(files[name])) for name in (ELF, HEX)),
        Size(name="flash", size_bytes=flash, of_bytes=of_flash),
        Size(name="ram", size_bytes=ram, of_bytes=of_ram),
    )


def _fits(job: Job) -> tuple[int, int]:
    """Bytes of flash and RAM that a sketch may take."""
    try:
        avr = Catalogue.load().board(job.board).avr
    except UnknownBoardError as error:
        raise RefusedError(f"this runner: {error}") from error
    return int(avr["flash_bytes"]), int(avr["ram_bytes"])
