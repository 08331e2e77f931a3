"""A file system image that MicroPython mounts: littlefs, laid out as its ports lay it out."""

from collections.abc import Mapping

from littlefs import LittleFS, UserContext
from littlefs.errors import LittleFSError

from runners.contract.flash import READ_BYTES, cache_bytes
from runners.flash.errors import FlashError

LOOKAHEAD_BYTES = 32  # as MicroPython (extmod/vfs_lfs.c)
# Of the format on the flash. Older MicroPythons refuse 2.1, newer ones take 2.0 and write 2.1 when they first write.
DISK_VERSION = 0x0002_0000


def file_system(files: Mapping[str, bytes], *, size_bytes: int, block_bytes: int, program_bytes: int) -> bytes:
    """The bytes of a file system with these files, by path; one that ends in `/` is an empty folder.

    Equal files make equal bytes. Raises: FlashError.
    """
    erased = bytearray(b"\xff") * size_bytes
    flash = LittleFS(
        context=UserContext(buffer=erased),
        mount=False,
        block_size=block_bytes,
        block_count=size_bytes // block_bytes,
        read_size=READ_BYTES,
        prog_size=program_bytes,
        cache_size=cache_bytes(block_bytes, program_bytes),
        lookahead_size=LOOKAHEAD_BYTES,
        disk_version=DISK_VERSION,
    )
    try:
        flash.format()
        flash.mount()
        for path in sorted(files, key=str.encode):
            if "/" in path:
                flash.makedirs(path.rpartition("/")[0], exist_ok=True)
            if path.endswith("/"):
                continue
            with flash.open(path, "wb") as file:
                file.write(files[path])
        flash.unmount()
    except LittleFSError as error:
        if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
            raise FlashError(f"the files cannot be laid out as a file system: {error}") from error
        total = sum(map(len, files.values()))
        said = f"{len(files)} files of {total} bytes in all do not fit into a file system of {size_bytes} bytes"
        raise FlashError(said) from error
    return bytes(erased)
