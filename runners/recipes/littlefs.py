"""How many blocks files take on littlefs, without making one: it takes too long to be made for every build.

The counting follows lfs.c of littlefs 2.x, as `runners.flash.littlefs_image` writes: paths in order, each file once. A
test holds it to the real one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runners.contract.flash import cache_bytes

PAIR = 2  # blocks of a folder, or of a part of it: one is written while the other holds
_MAX_INLINE = 1022  # LFS_ATTR_MAX
_MAX_ENTRIES = 0xFF  # of one pair
_TAG, _POINTER = 4, 4  # bytes
_STRUCT = _TAG + 8  # where a file or a folder is, and where the next pair is
_END = 20  # of a commit: what lfs_dir_commitcrc keeps free for checksums
_SUPERBLOCK = _TAG + 8 + _TAG + 24  # the first entry of the root


@dataclass(frozen=True, slots=True)
class Geometry:
    """What is erased, and what is written, at once. Bytes."""

    block: int
    program: int

    @property
    def inline(self) -> int:
        """The largest file that lies inside its folder."""
        return min(cache_bytes(self.block, self.program), self.block // 8, _MAX_INLINE)

    def aligned(self, size: int) -> int:
        return -(-size // self.program) * self.program


@dataclass(slots=True)
class _Folder:
    """A log of commits. When it is full, it is written anew; when more than half of that is needed, it is split."""

    geometry: Geometry
    entries: list[int] = field(default_factory=list)  # their sizes, of the last pair
    pairs: int = 1
    at: int = 0  # where the log ends
    is_new: bool = False  # the last entry made that the log was written anew

    def __post_init__(self) -> None:
        self._rewrite()

    def add(self, name: str, size: int) -> None:
        """An entry with `size` bytes beside its name."""
        named = _TAG + len(name.encode())
        self.entries.append(named + size)
        pairs = self.pairs
        has_room = self._append(_TAG + named + size)
        if not has_room:
            self._rewrite()
        self.is_new = not has_room and self.pairs == pairs

    def change(self, by: int, *, written: int) -> None:
        """The last entry becomes larger. An open file does not know that a new log has room, and writes it again."""
        self.entries[-1] += by
        if self.is_new or not self._append(written):
            self._rewrite()

    def _append(self, size: int) -> bool:
        """Whether there was room for a commit of `size` bytes."""
        if self.at + size > self.geometry.block - 2 * _TAG or len(self.entries) > _MAX_ENTRIES:
            return False
        self.at = min(self.geometry.aligned(self.at + size + _END), self.geometry.block)
        return True

    def _rewrite(self) -> None:
        begin = self._split(len(self.entries))
        newest = self.entries[begin:]
        while begin:
            self.pairs += 1
            begin = self._split(begin)
        self.entries = newest
        self.at = self.geometry.aligned(_TAG + sum(newest) + _END)

    def _split(self, end: int) -> int:
        """Where the part begins that another pair takes; 0 when all fits into one."""
        block, begin = self.geometry.block, 0
        room = min(block - 40, self.geometry.aligned(block // 2))
        while end - begin > 1:
            if end - begin < _MAX_ENTRIES and sum(self.entries[begin:end]) <= room:
                break
            begin += (end - begin) // 2
        return begin


def blocks(files: Mapping[str, bytes], geometry: Geometry) -> int:
    """Of all files and folders, and of the root."""
    folders = {"": _Folder(geometry, [_SUPERBLOCK])}
    content_blocks = 0
    for path in sorted(files, key=str.encode):
        above, _, name = path.rpartition("/")
        _make(folders, above)
        size = len(files[path])
        folder = folders[above]
        folder.add(name, _TAG)
        if size > geometry.inline:
            content_blocks += _file_blocks(size, geometry.block)
            folder.change(_STRUCT - _TAG, written=_STRUCT)
        elif size:
            folder.change(size, written=_TAG + size)
    return content_blocks + PAIR * sum(each.pairs for each in folders.values())


def _make(folders: dict[str, _Folder], path: str) -> None:
    if path in folders:
        return
    above, _, name = path.rpartition("/")
    _make(folders, above)
    folders[path] = _Folder(folders[""].geometry)
    folders[above].add(name, _STRUCT)


def _file_blocks(size: int, block: int) -> int:
    """Block n points back to 1 + (how often 2 divides n) others (lfs_ctz_index)."""
    last = size - 1
    number = last // (block - 2 * _POINTER)
    if number:
        number = (last - _POINTER * ((number - 1).bit_count() + 2)) // (block - 2 * _POINTER)
    return number + 1
