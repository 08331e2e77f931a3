"""Attacks on packs: A7, A8, A10, A14, A15, A18, A19."""

import random
from pathlib import Path

import pytest

from ota.reason import RefusedError
from tests.fakes.packboard import PackBoard, quiet
from tests.fakes.packs import deflated, head_of, pack_of, statement_entry, stream_of, with_base
from tests.fakes.releases import FakeRelease, index_of, make_release
from tests.unit.device.packs.conftest import ANY, BODY, NEW, OLD, refused

del NEW["old.py"]


def test_a8_a_file_of_the_release_before_in_place_of_the_third(board: PackBoard, newer: FakeRelease) -> None:
    raw = statement_entry(newer) + b"F" + index_of(NEW)
    raw += b"F" + NEW["app.py"] + b"F" + NEW["new.py"] + b"F" + OLD["z.bin"]

    packed = head_of(pack_of(make_release(OLD, version="1.0.0"), newer)) + deflated(raw)

    assert refused(board, newer, packed) == "digest_mismatch"


def test_a8_the_last_file_dropped(board: PackBoard, older: FakeRelease, newer: FakeRelease) -> None:
    raw = statement_entry(newer) + b"F" + index_of(NEW) + b"F" + NEW["app.py"] + b"F" + NEW["new.py"]

    assert refused(board, newer, head_of(pack_of(older, newer)) + deflated(raw)) in ("malformed", "EOFError")


def test_a8_two_files_of_equal_size_swapped(tmp_path: Path) -> None:
    one, two = make_release({"main.py": b""}), make_release({"a.py": b"A" * 9, "b.py": b"B" * 9, "main.py": b""})
    board = PackBoard(tmp_path)
    board.run(one)
    index = index_of({"a.py": b"A" * 9, "b.py": b"B" * 9, "main.py": b""})
    raw = statement_entry(two) + b"F" + index + b"F" + b"B" * 9 + b"F" + b"A" * 9

    assert refused(board, two, head_of(pack_of(one, two)) + deflated(raw)) == "digest_mismatch"


@pytest.mark.parametrize(
    "claims",
    [{"board": "esp32-generic"}, {"board": "esp8266-1m"}, {"mpy": 5}, {"arch": 4}, {"arch": 10, "sub": 1}],
    ids=["chip", "layout", "mpy", "arch", "sub-version"],
)
def test_a7_a_pack_for_something_else_is_refused(
    board: PackBoard, older: FakeRelease, claims: dict[str, object]
) -> None:
    other = make_release(NEW, counter=2, claims=claims)

    assert refused(board, other, pack_of(older, other)) == "wrong_board"


def test_a10_a_bomb_is_cut_off_at_the_promised_size(board: PackBoard, older: FakeRelease, newer: FakeRelease) -> None:
    bomb = deflated(statement_entry(newer) + b"F" + bytes(1 << 20))
    assert len(bomb) < 2048

    assert refused(board, newer, head_of(pack_of(older, newer)) + bomb) == "digest_mismatch"
    written = sum(path.stat().st_size for path in board.folder.rglob("*"))
    assert written < 64 << 10


def test_a10_a_bomb_behind_the_last_file_is_refused(board: PackBoard, older: FakeRelease, newer: FakeRelease) -> None:
    packed = pack_of(older, newer)

    assert refused(board, newer, head_of(packed) + deflated(stream_of(packed) + bytes(1 << 20))) == "malformed"


def test_a10_a_larger_window_than_the_board_has_is_refused(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(3000)
    files = {"main.py": noise + noise}
    release = make_release(files)
    raw = statement_entry(release) + b"F" + index_of(files) + b"F" + files["main.py"]
    packed = head_of(pack_of(None, release)) + deflated(raw, bits=15)

    with pytest.raises(ANY):
        PackBoard(tmp_path).unpack(release, None, packed=packed, idle=quiet)


def test_a10_truncated_and_followed_by_garbage(board: PackBoard, older: FakeRelease, newer: FakeRelease) -> None:
    packed = pack_of(older, newer)

    assert refused(board, newer, packed[:-1]) in ("malformed", "EOFError", "OSError")
    assert refused(board, newer, packed + b"x") == "malformed"


def test_a14_a_file_that_no_index_names_stops_the_switch(
    board: PackBoard, older: FakeRelease, newer: FakeRelease
) -> None:
    slot = "b" if board.state["active"] == "a" else "a"

    def plant() -> None:
        if (board.folder / slot).exists():
            (board.folder / slot / "extra.py").write_bytes(b"boo")

    with pytest.raises(RefusedError) as caught:
        board.unpack(newer, older, idle=plant)
    assert caught.value.reason == "digest_mismatch"


@pytest.mark.parametrize("path", ["../main.py", "/boot.py", "a/../../x.py", "boot.py", "ota/x.py", "a\\b", "MAIN.py"])
def test_a15_a_path_out_of_the_slot_is_refused(board: PackBoard, older: FakeRelease, tmp_path: Path, path: str) -> None:
    bad = make_release({**NEW, path: b"x"}, counter=2)
    raw = statement_entry(bad) + b"F" + index_of({**NEW, path: b"x"}) + b"F" + b"x" * 4000

    assert refused(board, bad, head_of(pack_of(older, bad)) + deflated(raw)) == "bad_path"
    assert {p.name for p in tmp_path.iterdir()} <= {"a", "b", "kiln"}


@pytest.mark.parametrize("name", ["app.py", "lib/net.py"])
def test_a18_a_file_changed_before_the_switch_stops_it(
    board: PackBoard, older: FakeRelease, newer: FakeRelease, name: str
) -> None:
    slot = "b" if board.state["active"] == "a" else "a"

    def change() -> None:
        path = board.folder / slot / name
        if (board.folder / f"kiln/{slot}.jws").exists() and path.exists():
            path.write_bytes(path.read_bytes()[:-1] + b"?")

    (board.folder / f"kiln/{slot}.jws").write_bytes(b"")
    with pytest.raises(RefusedError) as caught:
        board.unpack(newer, older, idle=change)
    assert caught.value.reason == "digest_mismatch"


def test_a18_the_statement_changed_on_flash_stops_the_switch(
    board: PackBoard, older: FakeRelease, newer: FakeRelease
) -> None:
    slot = "b" if board.state["active"] == "a" else "a"

    def change() -> None:
        path = board.folder / f"kiln/{slot}.jws"
        if path.exists():
            path.write_bytes(newer.statement[:-1] + b"A")

    with pytest.raises(RefusedError) as caught:
        board.unpack(newer, older, idle=change)
    assert caught.value.reason == "digest_mismatch"


def test_a19_a_pack_for_another_release_is_refused(tmp_path: Path, older: FakeRelease, newer: FakeRelease) -> None:
    third = make_release({**NEW, "app.py": BODY[:100]}, counter=3)
    board = PackBoard(tmp_path)
    board.run(older)

    with pytest.raises(RefusedError) as caught:
        board.unpack(third, newer, idle=quiet)
    assert caught.value.reason == "wrong_base"
    # The statement made of another one is not what was signed.
    assert refused(board, third, with_base(pack_of(newer, third), older)) in ("bad_signature", "malformed")


@pytest.mark.parametrize("name", ["app.py", "lib/net.py"])
def test_a19_a_base_that_the_application_changed_is_refused(
    board: PackBoard, older: FakeRelease, newer: FakeRelease, name: str
) -> None:
    path = board.folder / board.state["active"] / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    assert refused(board, newer, pack_of(older, newer)) == "digest_mismatch"
