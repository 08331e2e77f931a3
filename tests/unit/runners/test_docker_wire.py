"""The streams of a container: frames in any pieces, the end of a log, and the end of outputs."""

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from runners import docker_wire

WELL = b"started\nexit=0 oom=0 blocks=9 inodes=9\n"


class Pieces:
    """A connection that gives what it has in pieces of these sizes."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content = content
        self._sizes = iter(sizes)

    def recv(self, most: int) -> bytes:
        size = min(most, next(self._sizes, most))
        piece, self._content = self._content[:size], self._content[size:]
        return piece


def framed(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for kind, data in pieces)


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=12),
    st.lists(st.integers(min_value=1, max_value=30), max_size=60),
)
def test_frames_come_whole_however_they_are_cut(pieces: list[tuple[int, bytes]], sizes: list[int]) -> None:
    got = list(docker_wire.frames(Pieces(framed(pieces), sizes)))

    for kind in (1, 2):
        assert b"".join(data for each, data in got if each == kind) == b"".join(
            data for each, data in pieces if each == kind
        )


@given(st.lists(st.binary(max_size=6), max_size=8))
def test_only_the_last_byte_can_be_the_end(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)

    assert b"".join(docker_wire.without_end(iter([*chunks, b"\x04"]))) == whole
    assert b"".join(docker_wire.without_end(chunks)) == whole.removesuffix(b"\x04")


def packed(files: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def cuts(content: bytes) -> Iterator[bytes]:
    return (content[:at] for at in range(0, len(content), 256))


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a": b""},
        {"a": b"x" * 511, "b": b"y" * 512, "c": b"z" * 513},
        {"zeros": bytes(4096), "more": bytes(1024), "last": b"x"},
        {"l" * 90 + "/" + "m" * 90: b"long"},
    ],
    ids=["none", "empty", "blocks", "zeros", "long"],
)
def test_outputs_are_whole_at_the_end_of_their_tar_and_never_before(files: dict[str, bytes], kind: int) -> None:
    whole = WELL + packed(files, kind)
    ends = [len(each) for each in cuts(whole) if docker_wire.is_whole(each)]

    assert docker_wire.is_whole(whole)
    assert docker_wire.is_whole(bytearray(whole))
    last = max((len(WELL) + at for at in _ends_of_files(files, kind)), default=len(WELL))
    assert all(each >= last + 1024 for each in ends)


def _ends_of_files(files: dict[str, bytes], kind: int) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(packed(files, kind))) as archive:
        return [each.offset_data + (each.size + 511) // 512 * 512 for each in archive]


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"started\n",
        b"started\nexit=1 oom=0 blocks=9 inodes=9\n" + packed({}),
        WELL,
        WELL + b"\0" * 512,
        WELL + b"\xff" * 2048,
        WELL + b"\0" * 124 + b"-7\0" + b"x" * 4096,
        packed({}),
    ],
)
def test_what_is_no_success_is_not_whole(output: bytes) -> None:
    assert not docker_wire.is_whole(output)
