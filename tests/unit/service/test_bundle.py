import hashlib

import pytest
from hypothesis import given, strategies as st

from service.domain import bundle
from service.domain.errors import BadInputError, TooLargeError

FILES = [bundle.file("main.py", b"print(1)\n"), bundle.file("lib/net.mpy", b"M\x06\x00\x1f")]

MAIN = FILES[0]


def test_files_without_a_main_are_refused() -> None:
    with pytest.raises(BadInputError, match=r"no main\.py"):
        bundle.index([bundle.file("lib/main.py", b"")])


def test_an_index_is_sorted_by_the_bytes_of_its_paths() -> None:
    index = bundle.index(FILES)

    lines = index.encoded.decode().splitlines()
    assert [line.split(" ")[2] for line in lines] == ["lib/net.mpy", "main.py"]
    assert lines[1].startswith(hashlib.sha256(b"print(1)\n").hexdigest() + " 9 ")
    assert (index.files, index.size_bytes) == (2, 13)


def test_the_order_of_files_does_not_change_a_bundle() -> None:
    index = bundle.index(FILES)

    one = b"".join(bundle.pack("x.y.z", index, FILES))
    other = b"".join(bundle.pack("x.y.z", bundle.index(FILES[::-1]), FILES[::-1]))

    assert one == other
    assert len(one) == 6 + 5 + 1 + len(index.encoded) + index.size_bytes
    assert one.startswith(b"KILN1\nx.y.z\n")
    assert one.endswith(b"M\x06\x00\x1fprint(1)\n")


@pytest.mark.parametrize(
    "path",
    ["", "/main.py", "../boot.py", "a/../b", "a//b", "./a", "a/", "a\\b", "a\0b", "a b", "ünï", "x" * 101, "a\nb"],
    ids=repr,
)
def test_a_path_that_a_board_cannot_hold_is_refused_by_name(path: str) -> None:
    with pytest.raises(BadInputError, match="path"):
        bundle.index([MAIN, bundle.file(path, b"")])


@pytest.mark.parametrize(
    "path", ["boot.py", "BOOT.py", "boot.mpy", "ota/agent.mpy", "OTA/x", "ota", "ota.mpy", "Ota_Loader.py"]
)
def test_the_agents_own_files_are_refused(path: str) -> None:
    with pytest.raises(BadInputError, match="belongs to Kiln's agent"):
        bundle.index([MAIN, bundle.file(path, b"")])


@pytest.mark.parametrize("paths", [("a", "A"), ("lib", "lib/x"), ("x/Y.py", "x/y.py"), ("A/b", "a")])
def test_paths_that_collide_on_some_file_system_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(BadInputError):
        bundle.index([MAIN, *(bundle.file(path, b"") for path in paths)])


def test_too_many_files_are_refused() -> None:
    with pytest.raises(TooLargeError, match="at most 512"):
        bundle.index([MAIN, *(bundle.file(f"f{number}", b"") for number in range(512))])


def test_a_statement_over_its_limit_is_refused() -> None:
    with pytest.raises(TooLargeError, match="1536"):
        list(bundle.pack("x" * 1537, bundle.index(FILES), FILES))


def test_the_largest_statement_stays_under_its_limit() -> None:
    statement = bundle.Statement(
        repo="gitlab/" + "g" * 180,
        name="n" * 64,
        commit="a" * 64,
        version="1" * 64,
        counter=bundle.MAX_COUNTER,
        board="b" * 64,
        mpy=6,
        arch=10,
        sub=3,
        index=bundle.Index(encoded=b"x" * bundle.MAX_INDEX_BYTES, files=512, size_bytes=2**31),
    )
    header, signature = 60, 512  # of RS256 with 3072 bit, in base64

    assert len(statement.payload()) * 4 / 3 + header + signature + 2 < bundle.MAX_STATEMENT_BYTES


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_canonical_json_does_not_depend_on_order(value: dict[str, object]) -> None:
    assert bundle.canonical(value) == bundle.canonical(dict(reversed(value.items())))


def test_native_code_is_found_by_the_header_of_its_file() -> None:
    bytecode, armv6m = bundle.file("a.mpy", b"M\x06\x00\x1f"), bundle.file("b.mpy", b"M\x06\x13\x1f")

    assert bundle.native_arch([bytecode]) == 0
    assert bundle.native_arch([bytecode, armv6m, bundle.file("c.txt", b"M\x06\x2b\x1f")]) == 4
    with pytest.raises(BadInputError, match=r"b\.mpy and x\.mpy"):
        bundle.native_arch([armv6m, bundle.file("x.mpy", b"M\x06\x2b\x1f")])


def test_native_code_is_of_one_sub_version() -> None:
    bytecode, new, old = (
        bundle.file(f"{n}.mpy", bytes((77, 6, flags, 31))) for n, flags in enumerate((0x03, 0x13, 0x11))
    )

    assert bundle.native_sub([bytecode]) is None
    assert bundle.native_sub([bytecode, new]) == 3
    with pytest.raises(BadInputError, match=r"1\.mpy and 2\.mpy"):
        bundle.native_sub([new, old])


def test_native_code_for_several_arm_processors_needs_the_largest() -> None:
    armv6m, armv7emsp = bundle.file("a.mpy", b"M\x06\x13\x1f"), bundle.file("b.mpy", b"M\x06\x1f\x1f")

    assert bundle.native_arch([armv6m, armv7emsp]) == 7
    with pytest.raises(BadInputError, match="different processors"):
        bundle.native_arch([armv6m, armv7emsp, bundle.file("c.mpy", b"M\x06\x27\x1f")])
