import io
import tarfile

import pytest

from runners.errors import RefusedError
from runners.recipes import snapshot
from runners.recipes.snapshot import Snapshot


def packed(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "target"
            tar.addfile(member)
    return out.getvalue()


def test_files_are_read_and_links_are_known() -> None:
    found = Snapshot.parse(packed(("./a", tarfile.REGTYPE), ("d", tarfile.DIRTYPE), ("d/l", tarfile.SYMTYPE)))

    assert found.files == {"a": b"", "d/l": None}


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b"])
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="leads out of it"):
        Snapshot.parse(packed((name, tarfile.REGTYPE)))


@pytest.mark.parametrize("content", [b"", b"not a tar" * 100, packed(("a", tarfile.REGTYPE))[:300]])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError, match="not a readable archive"):
        Snapshot.parse(content)


def test_too_many_files_are_refused() -> None:
    names = ((f"f{n}", tarfile.REGTYPE) for n in range(snapshot.MAX_SOURCE_FILES + 1))

    with pytest.raises(RefusedError, match="more than 20000 files"):
        Snapshot.parse(packed(*names))
