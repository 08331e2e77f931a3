"""What a device makes of packs: the release that was meant, or none."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.fakes.packboard import PackBoard, quiet
from tests.fakes.packs import deflated, head_of, pack_of, release_of, stream_of
from tests.fakes.releases import FakeRelease, index_of, make_release, statement_of
from tests.unit.device.packs.conftest import ANY, BODY, NEW, OLD, refused


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


@settings(max_examples=60)
@given(TREES, TREES)
def test_any_release_is_made_of_any_other(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    one, two = release_of(before), release_of(after)
    with tempfile.TemporaryDirectory() as folder:
        board = PackBoard(Path(folder))
        board.run_believed(one, statement_of(before, index_of(before)))

        assert board.unpack_believed(statement_of(after, index_of(after)), pack_of(one, two)) == after


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
