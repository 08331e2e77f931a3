"""What differs between two releases, held against another reading of docs/ota.md."""

import os
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, strategies as st

from service.adapters.deltas import diff
from service.domain import pack
from service.domain.errors import MalformedError, TooLargeError
from tests.fakes.packs import Read, pack_of, read, read_older, release_of
from tests.fakes.releases import index_of, make_release

MAIN = {"main.py": b"import app\n"}
LONG = b"".join(b"def f%d(x):\n    return x + %d\n" % (n, n * 7) for n in range(120))
PATHS = st.sampled_from(["a.py", "b.py", "lib/a.py", "lib/c/d.mpy", "main.py", "z"])
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 60).map(lambda at: LONG[:at] + b"# changed\n" + LONG[at + 3 :]),
    st.sampled_from([b"", b"\0" * 500, LONG]),
)
TREES = st.dictionaries(PATHS, CONTENTS, max_size=6).map(lambda files: {**MAIN, **files})


def between(older: Mapping[str, bytes], newer: Mapping[str, bytes]) -> Read:
    before = release_of(older)
    return read(pack_of(before, release_of(newer)), older, index_of(dict(older)), before.statement)


@given(TREES, TREES)
def test_a_pack_makes_the_newer_release_of_the_older(older: dict[str, bytes], newer: dict[str, bytes]) -> None:
    assert between(older, newer).files == newer


@given(TREES)
def test_a_pack_from_nothing_holds_every_file(newer: dict[str, bytes]) -> None:
    found = read(pack_of(None, release_of(newer)), {})

    assert (found.starts_from, found.files) == ("0" * 16, newer)
    assert set(found.kinds.values()) == {"F"}


def test_what_did_not_change_does_not_travel() -> None:
    older = {**MAIN, "same.py": LONG, "gone.py": b"x", "changed.py": LONG}

    found = between(older, {**MAIN, "same.py": LONG, "changed.py": LONG.replace(b"x + 7", b"x + 8")})

    assert found.kinds == {"": "D", "changed.py": "D"}


def test_a_file_that_moved_is_copied_and_one_that_moved_and_changed_is_patched() -> None:
    older = {**MAIN, "old.py": LONG, "near.py": LONG[::-1]}

    moved = between(older, {**MAIN, "new/place.py": LONG})
    changed = between(older, {**MAIN, "new/place.py": LONG[:900] + b"# more\n" + LONG[900:]})

    assert moved.kinds == {"": "D"}
    assert changed.kinds == {"": "D", "new/place.py": "D"}


def test_a_file_that_has_nothing_in_common_travels_whole() -> None:
    noise = random.Random(1).randbytes(3000)

    found = between({**MAIN, "old.bin": b"A" * 3000}, {**MAIN, "new.bin": noise})

    assert found.kinds["new.bin"] == "F"
    assert found.files["new.bin"] == noise


def test_512_files_of_which_each_changed() -> None:
    older = {f"m{n:03}.py": LONG[: n * 7] for n in range(511)} | MAIN
    newer = {path: content + b"# more\n" for path, content in older.items()}

    assert between(older, newer).files == newer


def test_a_large_file_travels_whole() -> None:
    content = random.Random(2).randbytes(pack.MAX_PATCH_BYTES + 1)

    found = between({**MAIN, "big.bin": content}, {**MAIN, "big.bin": content[:-1] + b"x"})

    assert found.kinds["big.bin"] == "F"


def test_what_is_compared_has_a_limit() -> None:
    each = pack.MAX_PATCH_BYTES
    count = pack.MAX_COMPARED_BYTES // (2 * each) + 2
    older = {f"{n:02}.bin": random.Random(n).randbytes(each) for n in range(count)} | MAIN
    newer = {path: content[:-1] + b"x" if path != "main.py" else content for path, content in older.items()}
    compared: list[int] = []

    def counted(base: bytes, wanted: bytes) -> tuple[pack.Steps, bytes, bytes]:
        compared.append(len(base) + len(wanted))
        return [(0, len(wanted), 0)], b"", wanted

    before = release_of(older)
    pack.pack(before.digest, pack.opened(before.bundle), pack.opened(release_of(newer).bundle), diff=counted)

    assert sum(compared[2:]) <= pack.MAX_COMPARED_BYTES + each
    assert len(compared[2:]) < count - 1


def test_the_same_releases_make_the_same_pack() -> None:
    older, newer = release_of({**MAIN, "a.py": LONG}), release_of({**MAIN, "a.py": LONG[:-9]})

    assert pack_of(older, newer) == pack_of(older, newer)


def test_a_one_line_change_is_small() -> None:
    older = {**MAIN, **{f"m{n}.py": LONG.replace(b"f", b"g%d" % n) for n in range(6)}}
    newer = {**older, "m3.py": older["m3.py"].replace(b"return x + 70\n", b"return x - 71\n")}
    before, after = release_of(older), release_of(newer)

    size = len(pack_of(before, after)) - 256  # the signature of these

    assert size < 250


@given(TREES, TREES)
def test_agents_from_before_get_the_version_that_they_read(older: dict[str, bytes], newer: dict[str, bytes]) -> None:
    before, after = release_of(older), release_of(newer)

    found = read_older(pack_of(before, after, 1), older, index_of(dict(older)))

    assert (found.starts_from, found.statement, found.files) == (before.digest, after.statement, newer)


def test_the_statement_travels_as_what_differs_from_the_one_before() -> None:
    before, after = make_release({**MAIN, "a.py": LONG}), make_release({**MAIN, "a.py": LONG[:-9]}, counter=2)

    packed = pack_of(before, after)

    found = read(packed, {**MAIN, "a.py": LONG}, index_of({**MAIN, "a.py": LONG}), before.statement)
    assert found.statement == after.statement
    assert len(packed) < 384 + 27 + 200  # signature, head, and what differs in statement, index and file


@pytest.mark.parametrize(
    "spoil",
    [
        lambda jws: jws.replace(b".", b"", 1),
        lambda jws: jws[:-1],
        lambda jws: b"x" + jws[1:],
        lambda jws: b"." + jws,
        lambda _: b"",
        lambda jws: b"e30" + jws[jws.index(b".") :],
    ],
    ids=["two parts", "cut", "no JSON", "no header", "empty", "another header"],
)
def test_a_statement_that_is_not_as_we_sign_one_makes_no_pack(spoil: Callable[[bytes], bytes]) -> None:
    release = release_of(MAIN)
    opened = pack.opened(release.bundle)
    bent = pack.Opened(statement=spoil(opened.statement), index=opened.index, files=opened.files)

    with pytest.raises(MalformedError):
        pack.pack(pack.NOTHING, None, bent, diff=diff)


@pytest.mark.parametrize("cut", [7, 60, 130, -1])
def test_a_bundle_that_is_cut_is_no_bundle(cut: int) -> None:
    with pytest.raises(MalformedError):
        pack.opened(release_of({**MAIN, "a.py": b"A" * 50}).bundle[:cut])


def test_a_bundle_over_the_limit_has_no_pack() -> None:
    with pytest.raises(TooLargeError):
        pack.opened(b"KILN1\n" + bytes(pack.MAX_BUNDLE_BYTES))


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (b"", b""),
        (b"", b"new"),
        (b"old", b""),
        (bytes(5000), bytes(4000) + b"x" + bytes(999)),
        (LONG, LONG[2000:] + LONG[:2000]),
        (os.urandom(100) + LONG, LONG),
    ],
    ids=["both empty", "from nothing", "to nothing", "zeros", "turned", "later in the base"],
)
def test_a_difference_says_how_the_newer_comes_from_the_older(older: bytes, newer: bytes) -> None:
    steps, added, extra = diff(older, newer)

    made, at, at_added, at_extra = b"", 0, 0, 0
    for n_added, n_extra, step in steps:
        pairs = zip(older[at : at + n_added], added[at_added : at_added + n_added], strict=True)
        made += bytes((one + other) % 256 for one, other in pairs) + extra[at_extra : at_extra + n_extra]
        at, at_added, at_extra = at + n_added + step, at_added + n_added, at_extra + n_extra
    assert made == newer
