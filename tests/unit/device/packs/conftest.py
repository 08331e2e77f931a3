"""Two releases, a board that runs the older one, and packs that make the newer one of it."""

from pathlib import Path

import pytest

from ota.reason import RefusedError
from tests.fakes.packboard import PackBoard, quiet
from tests.fakes.releases import FakeRelease, make_release

BODY = b"".join(b"def f%d(x):\n    return x + %d\n" % (n, n * 7) for n in range(60))
OLD = {"app.py": BODY, "lib/net.py": BODY[::-1], "main.py": b"import app\n", "old.py": b"gone\n", "z.bin": b"Z" * 90}
NEW = {**OLD, "app.py": BODY[:400] + b"# changed\n" + BODY[400:], "new.py": b"more\n", "z.bin": b"Y" * 90}
ANY = (RefusedError, OSError, EOFError, ValueError, MemoryError)  # what update.fetch answers with the bundle


@pytest.fixture(scope="module")
def older() -> FakeRelease:
    return make_release(OLD, version="1.0.0")


@pytest.fixture(scope="module")
def newer() -> FakeRelease:
    return make_release(NEW, version="1.1.0", counter=2)


@pytest.fixture
def board(tmp_path: Path, older: FakeRelease) -> PackBoard:
    made = PackBoard(tmp_path)
    made.run(older)
    return made


def refused(board: PackBoard, newer: FakeRelease, packed: bytes) -> str:
    """Why a pack is refused; the release that runs must be as it was."""
    before = board.files(board.state["active"])
    with pytest.raises(ANY) as caught:
        board.unpack(newer, None, packed=packed, idle=quiet)
    assert board.files(board.state["active"]) == before
    return str(getattr(caught.value, "reason", type(caught.value).__name__))
