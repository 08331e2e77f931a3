"""Outputs are hostile until looked at (second list of attacks: row 7)."""

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from runners import artifacts
from runners.contract import paths
from runners.contract.job import Limits
from runners.errors import RefusedError

LIMITS = Limits(output_bytes=10_000, output_files=5)
NAMES = st.text(alphabet="abAB._-/", min_size=1, max_size=12).filter(lambda name: paths.complaint([name]) is None)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def chunks(content: bytes, size: int = 1000) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def test_plain_files_are_taken() -> None:
    packed = archive(special(".", tarfile.DIRTYPE), plain("./main.py"), special("./a", tarfile.DIRTYPE), plain("./a/b"))

    assert artifacts.unpack(chunks(packed), LIMITS) == {"main.py": b"x", "a/b": b"x"}


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (special("evil", tarfile.SYMTYPE, "/etc/passwd"), "'evil' in the outputs is a symbolic link"),
        (special("evil", tarfile.LNKTYPE, "main.py"), "'evil' in the outputs is a hard link"),
        (special("evil", tarfile.CHRTYPE), "'evil' in the outputs is a device"),
        (special("evil", tarfile.BLKTYPE), "'evil' in the outputs is a device"),
        (special("evil", tarfile.FIFOTYPE), "'evil' in the outputs is a named pipe"),
        (special("evil", tarfile.CONTTYPE), "'evil' in the outputs is something special"),
        (special("evil", tarfile.GNUTYPE_SPARSE), "'evil' in the outputs is something special"),
        (plain("../evil"), "'../evil' in the outputs is not relative and plain"),
        (plain("/evil"), "'/evil' in the outputs is not relative and plain"),
        (plain("a//evil"), "'a//evil' in the outputs is not relative and plain"),
        (plain("a/../evil"), "'a/../evil' in the outputs is not relative and plain"),
        (plain("ev\nil"), "'ev\\nil' in the outputs is not relative and plain"),
        (plain("evil\\x"), "in the outputs is not relative and plain"),
        (plain("é"), "'\\xe9' has characters other than"),
        (plain("e" * 101), "has 101 characters, a board takes 100"),
        (plain("MAIN.py"), "MAIN.py and main.py are the same file"),
        (plain("main.py/x"), "main.py is a file and a folder"),
        (plain("main.py"), "'main.py' is twice in the outputs"),
        (plain("boot.py"), "boot.py belongs to Kiln's agent"),
        (plain("ota/agent.py"), "ota/agent.py is in ota/, which belongs to Kiln's agent"),
        (plain("big", b"x" * 10_001), "larger than 10000 bytes"),
    ],
)
def test_everything_else_is_refused_by_name(member: tuple[tarfile.TarInfo, bytes], said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        artifacts.check_paths(artifacts.unpack(chunks(archive(plain("main.py"), member)), LIMITS))

    assert said in str(caught.value)


def test_too_many_files_are_refused() -> None:
    with pytest.raises(RefusedError, match="more than 5 files"):
        artifacts.unpack(chunks(archive(*(plain(f"f{n}") for n in range(6)))), LIMITS)


def test_an_endless_stream_is_not_read_to_its_end() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield archive(plain("a"))[:512]
        while True:
            read += 512
            yield plain("b", b"y" * 9_999)[0].tobuf()

    with pytest.raises(RefusedError):
        artifacts.unpack(endless(), LIMITS)
    assert read < 1 << 20


def pax(kind: bytes, text: bytes) -> bytes:
    """A pax header of this kind, before a plain file."""
    head, _ = special("x", kind)
    head.size = len(text)
    return head.tobuf() + text.ljust(-(-len(text) // 512) * 512, b"\0") + archive(plain("a"))


@pytest.mark.parametrize("kind", [tarfile.XGLTYPE, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE])
def test_a_header_that_tarfile_would_copy_into_every_member_is_refused(kind: bytes) -> None:
    with pytest.raises(RefusedError, match="pax header"):
        artifacts.unpack(chunks(pax(kind, b"12 aaaa=bbb\n" * 5000)), LIMITS)


def test_folders_without_end_are_refused() -> None:
    folders = (special(f"d{number}/", tarfile.DIRTYPE) for number in range(200))

    with pytest.raises(RefusedError, match="with their folders"):
        artifacts.unpack(chunks(archive(*folders)), LIMITS)


@given(st.integers(0, 2000), st.binary(max_size=200))
def test_a_damaged_archive_is_refused_or_read_but_never_crashes(cut: int, noise: bytes) -> None:
    whole = archive(plain("main.py", b"z" * 700), plain("b"))

    assert names_in(whole[:cut] + noise) <= {"main.py", "b"}


def names_in(packed: bytes) -> set[str]:
    try:
        return set(artifacts.unpack(chunks(packed), LIMITS))
    except RefusedError:
        return set()


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=5))
def test_packing_depends_on_the_files_alone(files: dict[str, bytes]) -> None:
    backwards = dict(reversed(files.items()))

    packed = artifacts.pack(files)

    assert packed == artifacts.pack(backwards)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
    assert [each.name.encode() for each in members] == sorted(each.encode() for each in files)
    assert {(each.mtime, each.uid, each.gid, each.mode, each.uname, each.type) for each in members} <= {
        (0, 0, 0, 0o644, "", tarfile.REGTYPE)
    }


def test_the_longest_path_needs_no_extension_header() -> None:
    packed = artifacts.pack({"d/" * 40 + "f" * 20: b"1"})

    assert packed[156:157] == tarfile.REGTYPE
    assert packed[257:263] == b"ustar\x00"
