"""Packs on a real littlefs in a real MicroPython, which inflates them with its own `deflate`: A10, A19."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.packflash import PackFlash
from tests.fakes.packs import deflated, head_of, pack_of, statement_entry, stream_of
from tests.fakes.releases import FakeRelease, index_of, make_release

BODY = b"".join(b"def f%d(x):\n    return x + %d\n" % (n, n * 7) for n in range(200))
OLD = {
    "app.py": BODY,
    "empty.py": b"",
    "lib/net.py": BODY[::-1],
    "main.py": b"import app\n",
    "old.py": b"gone\n",
    "z.bin": b"Z" * 90,
}
NEW = {
    "app.py": BODY[:400] + b"# changed\n" + BODY[400:],
    "empty.py": b"",
    "lib/moved.py": BODY[::-1],
    "main.py": b"import app\n",
    "new.py": b"more\n",
    "z.bin": b"Y" * 90,
}


@pytest.fixture(scope="module")
def older() -> FakeRelease:
    return make_release(OLD)


@pytest.fixture(scope="module")
def newer() -> FakeRelease:
    return make_release(NEW, counter=2, version="2.0.0")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, older: FakeRelease) -> PackFlash:
    """A board that runs the older release from slot a."""
    made = PackFlash(tmp_path_factory.mktemp("flash") / "flash.bin", size_bytes=1 << 20)
    made.lay("one", older.bundle, older)
    assert made.install("one", kind="bundle", run=True).outcome == "taken"
    return made


@pytest.fixture
def board(running: PackFlash, tmp_path: Path) -> PackFlash:
    shutil.copy(running.path, tmp_path / "flash.bin")
    made = PackFlash.__new__(PackFlash)
    made.path = tmp_path / "flash.bin"
    return made


def outcome(board: PackFlash, packed: bytes, release: FakeRelease) -> str:
    board.lay("two", packed, release)
    return board.install("two").outcome


def test_a_pack_makes_the_release_on_a_board(board: PackFlash, older: FakeRelease, newer: FakeRelease) -> None:
    assert outcome(board, pack_of(older, newer), newer) == "taken"

    assert board.tree("b") == NEW
    assert board.tree("a") == OLD
    assert board.tree("kiln")["b.jws"] == newer.statement
    assert board.tree("kiln")["b.index"] == index_of(NEW)


def test_a_board_goes_from_pack_to_pack(board: PackFlash, older: FakeRelease, newer: FakeRelease) -> None:
    third = make_release({**NEW, "app.py": BODY[50:]}, counter=3)
    board.lay("two", pack_of(older, newer), newer)
    board.lay("three", pack_of(newer, third), third)

    assert board.install("two", run=True).outcome == "taken"
    assert board.install("three", run=True).outcome == "taken"
    assert board.tree("a") == {**NEW, "app.py": BODY[50:]}


def test_an_empty_board_takes_a_pack_from_nothing(tmp_path: Path, newer: FakeRelease) -> None:
    board = PackFlash(tmp_path / "flash.bin", size_bytes=1 << 20)

    assert outcome(board, pack_of(None, newer), newer) == "taken"
    assert board.tree("a") == NEW


NOISE = random.Random(1).randbytes(3000)

ENTRY = b"F" + b"{}" * 200  # of a statement that nobody signed

SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "a1-statement": lambda packed: head_of(packed) + deflated(ENTRY + stream_of(packed)),
    "a10-bomb": lambda packed: head_of(packed) + deflated(b"F" + bytes(1 << 20)),
    "a10-bomb-behind": lambda packed: head_of(packed) + deflated(stream_of(packed) + bytes(1 << 20)),
    "a10-truncated": lambda packed: packed[:-1],
    "a10-half": lambda packed: packed[: len(packed) // 2 + 300],
    "a10-garbage-behind": lambda packed: packed + b"x",
    "a10-not-deflate": lambda packed: head_of(packed) + b"\xff" * 400,
    "a10-empty": head_of,
    "a10-window": lambda packed: head_of(packed) + deflated(b"F" + NOISE + NOISE, bits=15),
    "a19-base": lambda packed: packed[:7] + b"a" * 8 + packed[15:],
}


@pytest.mark.parametrize("attack", list(SPOILT))
def test_a_spoilt_pack_is_refused_and_what_runs_stays(
    board: PackFlash, older: FakeRelease, newer: FakeRelease, attack: str
) -> None:
    said = outcome(board, SPOILT[attack](pack_of(older, newer)), newer)

    assert said.split()[0] in ("refused", "failed"), said
    assert board.tree("a") == OLD
    assert board.install("one", kind="bundle").outcome == "taken"


def test_a10_a_window_over_ten_bits_is_refused_by_the_port(tmp_path: Path) -> None:
    files = {"main.py": NOISE + NOISE}
    release = make_release(files)
    board = PackFlash(tmp_path / "flash.bin", size_bytes=1 << 20)
    raw = statement_entry(release) + b"F" + index_of(files) + b"F" + NOISE + NOISE
    packed = head_of(pack_of(None, release)) + deflated(raw, bits=15)

    assert outcome(board, packed, release) != "taken"


def test_random_trees_are_made_of_each_other(tmp_path: Path) -> None:
    chance = random.Random(5)
    board = PackFlash(tmp_path / "flash.bin", size_bytes=1 << 20)
    before: FakeRelease | None = None
    for number in range(1, 8):
        names = chance.sample(["a.py", "b.py", "lib/a.py", "lib/c/d.mpy", "x/y/z/w.bin", "q", "r.txt"], 5)
        files = {"main.py": b"import a\n"}
        for name in names:
            start = chance.randrange(1000)
            files[name] = BODY[start : start + chance.choice([0, 1, 500, 4000])] + b"#%d" % chance.randrange(9)
        release = make_release(files, counter=number, version=f"{number}.0.0")
        board.lay("r", pack_of(before, release), release)

        assert board.install("r", run=True).outcome == "taken", number
        assert board.tree("a" if number % 2 else "b") == files
        before = release


def test_no_space_is_said_before_anything_is_written(board: PackFlash, older: FakeRelease) -> None:
    release = make_release({**NEW, "big.bin": random.Random(3).randbytes(1 << 20)}, counter=2)
    board.lay("pack", head_of(pack_of(older, release)) + deflated(statement_entry(release)), release)
    board.lay("old", older.bundle, older)
    assert board.install("old", kind="bundle", run=True).outcome == "taken"

    done = board.install("pack")

    assert done.outcome == "refused no_space"
    assert done.operations == 0
    assert board.tree("a") == OLD


def test_a_slot_that_only_fits_in_place_of_the_other_is_filled(tmp_path: Path) -> None:
    big = [{"main.py": b"%d\n" % n, "big.bin": random.Random(n).randbytes(70_000)} for n in range(3)]
    releases = [make_release(files, counter=n + 1) for n, files in enumerate(big)]
    board = PackFlash(tmp_path / "flash.bin", size_bytes=1 << 20)
    board.lay("r", b"", releases[0])
    used = (1 << 20) - board.install("r", kind="nothing").free_bytes
    # The bundle, two slots, and not the blocks for a third beside them.
    board = PackFlash(tmp_path / "flash.bin", size_bytes=used + 80 * 4096)

    for number, (release, files) in enumerate(zip(releases, big, strict=True)):
        board.lay("r", release.bundle, release)
        done = board.install("r", kind="bundle", run=True)
        assert (done.outcome, done.free_bytes < 70_000) == ("taken", number > 0), done
        assert board.tree("ab"[number % 2]) == files
