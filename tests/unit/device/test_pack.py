"""What a device makes of packs: A8, A10, A14, A15, A18, A19."""

import io
import random
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ota import patch
from ota.reason import RefusedError
from tests.fakes.packboard import PackBoard, quiet
from tests.fakes.packs import head_size, pack_of, release_of, statement_entry, with_base
from tests.fakes.releases import FakeRelease, index_of, make_release, statement_of

BODY = b"".join(b"def f%d(x):\n    return x + %d\n" % (n, n * 7) for n in range(60))
OLD = {"app.py": BODY, "lib/net.py": BODY[::-1], "main.py": b"import app\n", "old.py": b"gone\n", "z.bin": b"Z" * 90}
NEW = {**OLD, "app.py": BODY[:400] + b"# changed\n" + BODY[400:], "new.py": b"more\n", "z.bin": b"Y" * 90}
del NEW["old.py"]
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


def head_of(packed: bytes) -> bytes:
    return packed[: head_size(packed)]


def stream_of(packed: bytes) -> bytes:
    return zlib.decompress(packed[len(head_of(packed)) :], -10)


def deflated(raw: bytes, bits: int = 10) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return stream.compress(raw) + stream.flush()


def refused(board: PackBoard, newer: FakeRelease, packed: bytes) -> str:
    """Why a pack is refused; the release that runs must be as it was."""
    before = board.files(board.state["active"])
    with pytest.raises(ANY) as caught:
        board.unpack(newer, None, packed=packed, idle=quiet)
    assert board.files(board.state["active"]) == before
    return str(getattr(caught.value, "reason", type(caught.value).__name__))


def test_a_pack_makes_the_release_and_keeps_what_runs(board: PackBoard, older: FakeRelease, newer: FakeRelease) -> None:
    assert board.unpack(newer, older, idle=quiet) == NEW
    assert board.files(board.state["active"]) == OLD
    assert (board.folder / "kiln/b.jws").exists() != (board.state["active"] == "b")


def test_the_statement_and_the_index_are_kept_beside_the_slot(
    board: PackBoard, older: FakeRelease, newer: FakeRelease
) -> None:
    board.unpack(newer, older, idle=quiet)

    other = "b" if board.state["active"] == "a" else "a"
    assert (board.folder / f"kiln/{other}.jws").read_bytes() == newer.statement
    assert (board.folder / f"kiln/{other}.index").read_bytes() == index_of(NEW)
    assert not (board.folder / "kiln/new.index").exists()


def test_a_board_without_a_release_takes_one_from_nothing(tmp_path: Path, newer: FakeRelease) -> None:
    assert PackBoard(tmp_path).unpack(newer, None, idle=quiet) == NEW


def test_512_files_with_renames_and_empty_ones(tmp_path: Path) -> None:
    before = {f"m{n:03}.py": BODY[: n * 3] for n in range(511)} | {"main.py": b""}
    after = {(f"n{n:03}.py" if n % 7 == 0 else f"m{n:03}.py"): BODY[: n * 3] + b"#" * (n % 3) for n in range(511)}
    after["main.py"] = b""
    one, two = make_release(before), make_release(after, counter=2)
    board = PackBoard(tmp_path)
    board.run(one)

    assert board.unpack(two, one, idle=quiet) == after


PATHS = st.sampled_from(["a.py", "b.py", "lib/a.py", "lib/c/d.mpy", "main.py", "z"])
CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.integers(0, 90).map(lambda at: BODY[:at] + b"# changed\n" + BODY[at + 3 :]),
    st.sampled_from([b"", b"\0" * 300, BODY]),
)
TREES = st.dictionaries(PATHS, CONTENTS, max_size=6).map(lambda files: {"main.py": b"1\n", **files})


@settings(deadline=None, max_examples=60)
@given(TREES, TREES)
def test_any_release_is_made_of_any_other(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    one, two = release_of(before), release_of(after)
    with tempfile.TemporaryDirectory() as folder:
        board = PackBoard(Path(folder))
        board.run_believed(one, statement_of(before, index_of(before)))

        assert board.unpack_believed(statement_of(after, index_of(after)), pack_of(one, two)) == after


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_pack_that_is_changed_makes_the_right_release_or_none(
    board: PackBoard, older: FakeRelease, newer: FakeRelease, data: st.DataObject
) -> None:
    """Changed in the stream before it is deflated, or after."""
    packed = bytearray(pack_of(older, newer))
    start = len(head_of(bytes(packed)))
    inside = data.draw(st.booleans())
    raw = bytearray(stream_of(bytes(packed))) if inside else packed[start:]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["flip", "drop", "insert", "cut"]))
        if kind == "flip":
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "drop":
            del raw[at : at + data.draw(st.integers(1, 9))]
        elif kind == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del raw[max(at, 1) :]
        raw = raw or bytearray(b"F")
    changed = bytes(packed[:start]) + (deflated(bytes(raw)) if inside else bytes(raw))

    try:
        made = board.unpack_believed(statement_of(NEW, index_of(NEW)), changed)
    except ANY:
        made = None

    assert made in (None, NEW)
    assert board.files(board.state["active"]) == OLD


def test_a_pack_that_ends_anywhere_early_is_refused(board: PackBoard, older: FakeRelease, newer: FakeRelease) -> None:
    packed = pack_of(older, newer)

    for end in range(len(packed)):
        with pytest.raises(ANY):
            board.unpack_believed(statement_of(NEW, index_of(NEW)), packed[:end])

    assert board.files(board.state["active"]) == OLD


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


def test_the_state_forgets_the_other_slot_before_it_is_emptied(
    board: PackBoard, older: FakeRelease, newer: FakeRelease
) -> None:
    slot = "b" if board.state["active"] == "a" else "a"
    board.state[slot] = {"release": "x" * 64, "version": "0", "counter": 0}
    (board.folder / slot).mkdir()
    (board.folder / slot / "main.py").write_bytes(b"before\n")
    board.is_full = True

    assert refused(board, newer, pack_of(older, newer)) == "no_space"
    assert board.files(slot) == {"main.py": b"before\n"}
    assert board.saved[-1][slot] is None


def numbers(*values: int) -> bytes:
    return b"".join(bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7]) for value in values)


@pytest.mark.parametrize(
    "raw",
    [
        numbers(0, 0, 0),
        numbers(0, 11, 0) + bytes(11),
        numbers(1, 1, 0) + bytes(1),
        numbers(18, 2, 0) + bytes(2),
        numbers(0, 0, 21) + bytes(21),
        b"\x80\x80\x80\x80\x00" + numbers(1, 0) + bytes(1),
        b"\xff\xff\xff\xff\xff\xff",
        numbers(0, 5, 5) + bytes(9),
        b"",
    ],
    ids=["idle", "over the base", "before it", "past its end", "too much", "long zero", "huge", "short", "empty"],
)
def test_a_patch_out_of_bounds_is_refused(raw: bytes) -> None:
    made = io.BytesIO()

    with pytest.raises(RefusedError) as caught:
        patch.apply(io.BytesIO(raw), io.BytesIO(b"0123456789"), 10, 20, memoryview(bytearray(16)), made)

    assert caught.value.reason == "malformed"
    assert len(made.getvalue()) <= 20
