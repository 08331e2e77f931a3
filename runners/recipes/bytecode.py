"""Headers of ``.mpy`` files: which MicroPython, and which processor, loads one.

MicroPython's docs/reference/mpyfiles, and py/persistentcode.c, mp_raw_code_load.
"""

from dataclasses import dataclass
from typing import Self

from runners.contract.job import Job
from runners.errors import RefusedError

VERSION = 6  # of every MicroPython since 1.19, which is the oldest that a manifest may name
ARCHES = {
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
_HEADER_BYTES = 4
_THUMB = range(ARCHES["armv6m"], ARCHES["armv7emdp"] + 1)  # each runs what is made for those before it
_SMALL_INT_BITS = 31  # of a 32-bit board; 63 on a computer
_WIDE = ("x64", "rv64imc")
_HAS_ARCH_FLAGS = 0x40
# Since which MicroPython native code has which sub-version, newest first. It must be the very same.
_SUB_SINCE = (((1, 23), 3), ((1, 22), 2), ((1, 20), 1), ((1, 19), 0))
_MADE_BY = {
    3: "1.9.3 to 1.10",
    4: "1.11",
    5: "1.12 to 1.18",
    6: "1.19 and later",
}
_SUB_MADE_BY = ("1.19", "1.20 and 1.21", "1.22", "1.23 and later")


@dataclass(frozen=True, slots=True)
class Header:
    """The first bytes of an ``.mpy`` file. `arch` is 0 for bytecode without native code."""

    version: int
    sub_version: int  # of native code
    arch: int
    has_arch_flags: bool
    small_int_bits: int

    @classmethod
    def parse(cls, content: bytes) -> Self | None:
        """None when it is not an ``.mpy`` file."""
        if len(content) < _HEADER_BYTES or content[:1] != b"M":
            return None
        _, version, flags, bits = content[:_HEADER_BYTES]
        return cls(version, flags & 3, (flags >> 2) & 0xF, bool(flags & _HAS_ARCH_FLAGS), bits)


def check(path: str, content: bytes, job: Job) -> None:
    """Raises: RefusedError naming the file, and what its board loads, when that board cannot load it."""
    header = Header.parse(content)
    if header is None:
        raise RefusedError(f"{path} is not an .mpy file")
    if header.version != VERSION:
        raise RefusedError(
            f"{path} is an .mpy file of version {header.version}{_by(_MADE_BY.get(header.version))}, {job.board} loads "
            f"version {VERSION}: compile it again"
        )
    own = job.options.arch or ""
    if header.small_int_bits > _SMALL_INT_BITS and own not in _WIDE:
        raise RefusedError(
            f"{path} is compiled for small integers of {header.small_int_bits} bits, "
            f"{job.board} has {_SMALL_INT_BITS}: compile it again without -msmall-int-bits"
        )
    if header.arch:
        _check_native(path, header, job)


def is_native(content: bytes) -> bool:
    """Whether it is an ``.mpy`` file of today's version with native code."""
    header = Header.parse(content)
    return header is not None and header.version == VERSION and header.arch != 0


def _check_native(path: str, header: Header, job: Job) -> None:
    if not runs(header.arch, on=ARCHES.get(job.options.arch or "", 0)):
        raise RefusedError(f"{path} holds native code for {_name(header.arch)}, which {job.board} cannot run")
    loads = sub_version(job.options.micropython)
    if header.sub_version != loads:
        made_by = _by(_SUB_MADE_BY[header.sub_version])
        raise RefusedError(
            f"{path} holds native code of version {VERSION}.{header.sub_version}{made_by}, "
            f"MicroPython {job.options.micropython} loads {VERSION}.{loads}: compile it again"
        )
    if header.has_arch_flags:
        raise RefusedError(
            f"{path} holds native code for an extension of {_name(header.arch)}, which {job.board} may lack: "
            f"compile it again without -march-flags"
        )


def runs(arch: int, *, on: int) -> bool:
    """Whether a processor runs native code for `arch`: an ARM one what is made for a smaller one, too."""
    return arch in (0, on) or (arch in _THUMB and on in _THUMB and arch <= on)


def sub_version(micropython: str) -> int:
    """The sub-version of native code that a MicroPython, `major.minor`, loads."""
    number = tuple(int(part) for part in micropython.split("."))
    return next((sub for since, sub in _SUB_SINCE if number >= since), 0)


def _name(arch: int) -> str:
    return next((name for name, number in ARCHES.items() if number == arch), f"processor {arch}")


def _by(versions: str | None) -> str:
    return f" (MicroPython {versions})" if versions else ""
