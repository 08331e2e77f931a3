"""Zip files that are written while they are sent."""

import io
import random
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest

from service.adapters.archive import zipped
from service.domain.archive import Entry

MIB = 1 << 20


def chunks(count: int, taken: list[int]) -> Iterator[bytes]:
    """MiB that no compression shortens."""
    chance = random.Random(1)
    for number in range(count):
        taken.append(number)
        yield chance.randbytes(MIB)


def test_it_begins_before_it_is_read_and_holds_little_of_it() -> None:
    taken: list[int] = []
    made = zipped([Entry(path="large.bin", chunks=chunks(24, taken)), Entry(path="small.txt", chunks=[b"end"])])

    first = next(made)
    assert len(first) > 0
    assert len(taken) == 1
    tracemalloc.start()
    size = len(first) + sum(map(len, made))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size > 24 * MIB
    assert peak < 6 * MIB


def test_what_is_read_is_what_was_written() -> None:
    entries = [
        Entry(path="d/run.sh", chunks=[b"echo ", b"hello\n"], runs=True),
        Entry(path="d/empty", chunks=[]),
        Entry(path="d/folder/", chunks=[]),
        Entry(path="d/ü.json", chunks=[b"{}"]),
    ]

    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(entries)))) as held:
        assert held.testzip() is None
        assert held.namelist() == ["d/run.sh", "d/empty", "d/folder/", "d/ü.json"]
        assert [held.read(name) for name in held.namelist()] == [b"echo hello\n", b"", b"", b"{}"]
        assert held.getinfo("d/folder/").is_dir()


def test_what_fails_in_the_middle_is_no_zip_file() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * MIB
        raise OSError("storage is away")

    made = zipped([Entry(path="a", chunks=[b"1"]), Entry(path="b", chunks=broken())])
    sent: list[bytes] = []

    with pytest.raises(OSError, match="storage is away"):
        sent.extend(made)

    assert not zipfile.is_zipfile(io.BytesIO(b"".join(sent)))
