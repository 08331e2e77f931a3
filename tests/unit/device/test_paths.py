"""The lines of an index and the paths they may name: A9, A15."""

import io

import pytest
from hypothesis import given, settings, strategies as st

from ota import bundle, listing
from ota.reason import RefusedError

BAD_PATHS = [
    "../main.py",
    "/main.py",
    "a/../../x.py",
    "a/./b.py",
    "a//b.py",
    "a/",
    ".",
    "..",
    "a\\b.py",
    "a\0b.py",
    "a b.py",
    "ä.py",
    "a:b",
    "x" * 101,
    "boot.py",
    "BOOT.PY",
    "boot.mpy",
    "ota/agent.py",
    "OTA/agent.mpy",
    "ota",
    "ota.py",
    "ota.mpy",
    "ota_loader.py",
    "OTA_Loader.mpy",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a15_a_path_that_leaves_the_slot_or_touches_the_agent_is_refused(path: str) -> None:
    with pytest.raises(RefusedError) as caught:
        listing.check_path(path)

    assert caught.value.reason == "bad_path"


@pytest.mark.parametrize("path", ["main.py", "lib/ota/x.py", "a/boot.py", "x" * 100, ".hidden", "a-b_c.1"])
def test_an_ordinary_path_is_fine(path: str) -> None:
    index = listing.Index({"files": 1, "size": 1})

    assert index.line(line(path)) == ("0" * 64, 1, path)


def line(path: str, size: int = 1) -> bytes:
    return f"{'0' * 64} {size} {path}".encode()


def feed(paths: list[str]) -> None:
    index = listing.Index({"files": len(paths), "size": len(paths)})
    for path in paths:
        index.line(line(path))
    index.end()


@pytest.mark.parametrize(
    "paths",
    [
        ["b.py", "a.py"],
        ["a.py", "a.py"],
        ["A.py", "a.py"],
        ["Lib/x.py", "lib/x.py"],
        ["a", "a/b"],
        ["a", "a-", "a/b"],
        ["A", "a/b"],
        ["A/b", "a"],
        ["a/b", "a/b/c"],
    ],
    ids=str,
)
def test_a15_repeated_and_colliding_paths_are_refused(paths: list[str]) -> None:
    with pytest.raises(RefusedError) as caught:
        feed(paths)

    assert caught.value.reason == "bad_path"


@given(st.sets(st.text("abAB.-_/", min_size=1, max_size=8), max_size=20))
@settings(max_examples=200)
def test_an_index_is_taken_exactly_when_its_paths_can_live_together(names: set[str]) -> None:
    paths = sorted(names)
    folded = [path.lower() for path in paths]
    folders = {"/".join(p.split("/")[:n]) for p in folded for n in range(1, len(p.split("/")))}
    parts = [part for path in paths for part in path.split("/")]
    good = len(set(folded)) == len(folded) and not folders & set(folded) and not {"", ".", ".."} & set(parts)

    try:
        feed(paths)
        taken = True
    except RefusedError:
        taken = False

    assert taken == good


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        line("main.py")[1:],
        line("main.py").replace(b"0", b"G", 1),
        line("main.py").upper().replace(b"0", b"A"),
        line("main.py").replace(b" ", b"  ", 1),
        b"0" * 64 + b" 01 main.py",
        b"0" * 64 + b" -1 main.py",
        b"0" * 64 + b" 1e3 main.py",
        b"0" * 64 + b"  main.py",
        b"0" * 64 + b" 99999999999 main.py",
        b"0" * 64 + b" 1 a b.py",
    ],
)
def test_a_line_out_of_shape_is_refused(raw: bytes) -> None:
    index = listing.Index({"files": 1, "size": 10})

    with pytest.raises(RefusedError) as caught:
        index.line(raw)

    assert caught.value.reason in ("malformed", "bad_path")


def test_a_line_that_promises_more_than_the_statement_is_refused() -> None:
    index = listing.Index({"files": 1, "size": 10})

    with pytest.raises(RefusedError) as caught:
        index.line(line("main.py", 11))

    assert caught.value.reason == "too_large"


def test_an_index_of_one_endless_line_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        list(bundle.lines(io.BytesIO(b"a" * 65536), 65536, memoryview(bytearray(128))))

    assert caught.value.reason == "malformed"
