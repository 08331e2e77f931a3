"""The file systems of flash images, mounted and written to by a real MicroPython as a board's port mounts them."""

import json
import subprocess
from pathlib import Path

import pytest

from device.virtual.flash import tool
from runners.contract.board import Board, Catalogue
from runners.contract.flash import bytes_of
from runners.flash import image
from tests.fakes import firmware
from tests.unit.runners.flash import uf2_reader

BOARDS = [each for each in Catalogue.load().boards.values() if image.has_image(each)]
FILES = {
    "main.py": b"print('hello')\n",
    "lib/app.mpy": b"M\x06\x00\x1f" * 2500,
    "lib/deep/deeper/a.txt": b"",
    "small": b"s" * 120,
    "edge": b"e" * 1030,
    **{f"many/f{number}": b"%d" % number * 50 for number in range(120)},
}
# A block device over a file, as a board's flash is; then what its _boot.py does.
BOOT = """
import json, os, sys, vfs

class Flash:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.blocks = self.file.seek(0, 2) // 4096

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 6:
            self.file.seek(argument * 4096)
            self.file.write(b"\\xff" * 4096)
        return {4: self.blocks, 5: 4096}.get(operation, 0)

def mount():
    flash = Flash(sys.argv[1])
    vfs.mount(vfs.VfsLfs2(flash, progsize=256) if sys.argv[2] == "256" else flash, "/flash")
    return flash

def walk(folder, found):
    for name, kind, _, _ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000:
            walk(path, found)
        else:
            with open(path, "rb") as file:
                found[path[len("/flash/"):]] = file.read().hex()
    return found

flash = mount()
before = walk("/flash", {})
with open("/flash/many/new", "wb") as file:
    file.write(b"n" * 5000)
os.remove("/flash/small")
vfs.umount("/flash")
flash.file.close()
mount()
print(json.dumps([before, walk("/flash", {}), os.statvfs("/flash")[:3]]))
"""


def file_system(board: Board) -> bytes:
    """What the board would find where its MicroPython looks."""
    assert board.flash is not None
    made = image.make(board, FILES, firmware.firmware_for(board.name))
    place = board.flash.sizes[board.flash.usual]
    at, size = place.file_system_at, place.file_system_bytes
    if board.flash.format == "uf2":
        pages = uf2_reader.read(made.content)[board.flash.uf2_family]
        return uf2_reader.memory(pages, board.flash.mapped_at + at, size)
    return made.content[at : at + size]


def booted(board: Board, content: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    assert board.flash is not None
    (folder / "boot.py").write_text(BOOT)
    (folder / "flash").write_bytes(content)
    words = [str(folder / "boot.py"), str(folder / "flash"), str(board.flash.program_bytes)]
    return subprocess.run([tool("micropython"), *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("board", BOARDS, ids=[each.name for each in BOARDS])
def test_micropython_mounts_reads_and_writes_it(board: Board, tmp_path: Path) -> None:
    assert board.flash is not None

    done = booted(board, file_system(board), tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    before, after, (_, block, blocks) = json.loads(done.stdout)
    assert {path: bytes.fromhex(content) for path, content in before.items()} == FILES
    assert set(after) == set(FILES) - {"small"} | {"many/new"}
    assert block * blocks == board.flash.sizes[board.flash.usual].file_system_bytes < bytes_of(board.flash.usual)


def test_a_flash_of_another_size_is_not_mounted(tmp_path: Path) -> None:
    """Why the size is in an image's name: MicroPython takes all the flash that it finds."""
    board = Catalogue.load().board("esp32-generic")

    done = booted(board, file_system(board) + b"\xff" * (4 << 20), tmp_path)

    assert done.returncode == 1
    assert "ENODEV" in done.stdout + done.stderr
