"""Statement, index and files: A1, A3, A7, A8, A9, A14, A18."""

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from ota import head, install, look, statement
from ota.reason import RefusedError
from tests.fakes.releases import FakeRelease, desired_for, index_of, make_release
from tests.fakes.signing import director_key, foreign_key, release_key

FILES = {"lib/a.py": b"A = 1\n", "main.py": b"import a\n" * 300, "z.bin": bytes(range(256)) * 3}
DEVICE = {"board": "unix", "repo": "local/blink"}
MPY = 6 | 3 << 8 | 7 << 10  # version 6, sub-version 3, armv7emsp


def take(
    release: FakeRelease,
    root: Path,
    *,
    data: bytes | None = None,
    floor: int = 0,
    mpy: int = MPY,
    **desired: Any,
) -> dict[str, bytes]:
    """Install from memory into `root`/b; the files that are there afterwards."""
    source = io.BytesIO(release.bundle if data is None else data)
    jws = head.read(source)
    stated = statement.parse(jws, [release_key().entry])
    statement.judge(jws, stated, desired_for(release, seq=1, **desired), DEVICE, floor, mpy)
    (root / "kiln").mkdir(exist_ok=True)
    install.clear(str(root), "b")
    install.fill(source, stated, str(root), "b", lambda: None)
    look.check(stated, str(root), "b", lambda: None)
    slot = root / "b"
    found = {p.relative_to(slot).as_posix(): p for p in slot.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


def refused(release: FakeRelease, root: Path, **changes: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        take(release, root, **changes)
    reason: str = caught.value.reason
    return reason


def test_a_bundle_arrives_as_it_was_made(tmp_path: Path) -> None:
    assert take(make_release(FILES), tmp_path) == FILES


def test_a_later_bundle_leaves_nothing_of_the_earlier(tmp_path: Path) -> None:
    take(make_release({**FILES, "old/deep/x.py": b"x"}), tmp_path)

    assert take(make_release(FILES), tmp_path) == FILES
    assert not (tmp_path / "b/old").exists()


def test_a_bundle_without_size_limits_of_its_own_is_streamed(tmp_path: Path) -> None:
    files = {f"m{number:03}.py": bytes([number % 256]) * number for number in range(512)}

    assert take(make_release(files), tmp_path) == files


def test_a1_a_statement_by_the_director_or_a_stranger_is_refused(tmp_path: Path) -> None:
    assert refused(make_release(FILES, key=director_key()), tmp_path) == "bad_signature"
    assert refused(make_release(FILES, key=foreign_key()), tmp_path) == "bad_signature"


def test_a1_every_flipped_byte_of_index_and_files_is_refused(tmp_path: Path) -> None:
    release = make_release({"main.py": b"print(1)\n", "x.py": b"y"})
    start = len(b"KILN1\n") + len(release.statement) + 1

    for place in range(start, len(release.bundle)):
        changed = bytearray(release.bundle)
        changed[place] ^= 0x20
        assert refused(release, tmp_path, data=bytes(changed)) == "digest_mismatch"


def test_a_bundle_that_ends_anywhere_early_is_refused(tmp_path: Path) -> None:
    release = make_release({"main.py": b"print(1)\n"})

    for end in range(0, len(release.bundle), 7):
        with pytest.raises(RefusedError):
            take(release, tmp_path, data=release.bundle[:end])


def test_a3_a_counter_below_the_floor_is_refused(tmp_path: Path) -> None:
    assert refused(make_release(FILES, counter=4), tmp_path, floor=5) == "downgrade"
    assert take(make_release(FILES, counter=5), tmp_path, floor=5) == FILES


def test_a4_the_two_roles_must_agree_on_the_counter(tmp_path: Path) -> None:
    assert refused(make_release(FILES, counter=4), tmp_path, counter=5) == "wrong_release"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"board": "esp8266-generic"}, "wrong_board"),
        ({"mpy": 5}, "wrong_board"),
        ({"arch": 10}, "wrong_board"),
        ({"arch": 3}, "wrong_board"),
        ({"arch": 8}, "wrong_board"),
        ({"arch": 7, "sub": 1}, "wrong_board"),
        ({"repo": "local/other"}, "wrong_repository"),
    ],
    ids=str,
)
def test_a7_a_bundle_for_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    assert refused(make_release(FILES, claims=changes), tmp_path) == reason


@pytest.mark.parametrize(
    "changes",
    [{"mpy": 6}, {"arch": 7}, {"arch": 4}, {"arch": 0}, {"arch": 7, "sub": 3}, {"arch": 0, "sub": 1}],
    ids=str,
)
def test_a_bundle_that_fits_the_interpreter_is_taken(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert take(make_release(FILES, **changes), tmp_path) == FILES


def test_a8_another_release_than_the_one_ordered_is_refused(tmp_path: Path) -> None:
    other = make_release(FILES, version="1.0.1")

    assert refused(make_release(FILES), tmp_path, data=other.bundle) == "wrong_release"


def test_a8_swapped_and_mixed_files_are_refused(tmp_path: Path) -> None:
    files = {"a.py": b"A" * 10, "b.py": b"B" * 10}

    assert refused(make_release(files, blobs=b"B" * 10 + b"A" * 10), tmp_path) == "digest_mismatch"
    assert refused(make_release(files, blobs=b"A" * 10 + b"C" * 10), tmp_path) == "digest_mismatch"
    assert refused(make_release(files, blobs=b"A" * 10), tmp_path, size=10**6) == "malformed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"files": 2}, "too_large"),
        ({"files": 4}, "malformed"),
        ({"files": 513}, "malformed"),
        ({"files": 0}, "malformed"),
        ({"size": -1}, "malformed"),
        ({"counter": 1 << 31}, "malformed"),
        ({"counter": True}, "malformed"),
        ({"sub": 4}, "malformed"),
        ({"commit": "HEAD"}, "malformed"),
        ({"commit": "c" * 41}, "malformed"),
        ({"version": ""}, "malformed"),
        ({"repo": "x" * 201}, "malformed"),
        ({"index": []}, "malformed"),
        ({"index": {"sha256": "0" * 64, "size": 65537}}, "malformed"),
        ({"type": "desired"}, "malformed"),
        ({"v": 2}, "malformed"),
    ],
    ids=str,
)
def test_a_statement_out_of_shape_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    assert refused(make_release(FILES, claims=changes), tmp_path) == reason


def test_a9_a_bundle_longer_or_shorter_than_ordered_is_refused(tmp_path: Path) -> None:
    release = make_release(FILES)

    assert refused(release, tmp_path, size=len(release.bundle) - 1) == "too_large"
    assert refused(release, tmp_path, size=len(release.bundle) + 1) == "malformed"


def test_a9_an_endless_statement_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        head.read(io.BytesIO(b"KILN1\n" + b"a" * 100_000))

    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("data", [b"", b"KILN2\nx\n", b"PK\x03\x04aaaa", b"KILN1\r\n\n"])
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        statement.parse(head.read(io.BytesIO(data)), [release_key().entry])

    assert caught.value.reason == "malformed"


def test_an_index_must_end_with_a_line_end(tmp_path: Path) -> None:
    release = make_release(FILES, index=index_of(FILES)[:-1])

    assert refused(release, tmp_path) == "malformed"


def test_a14_a_file_that_no_index_names_stops_the_switch(tmp_path: Path) -> None:
    release = make_release(FILES)
    take(release, tmp_path)
    (tmp_path / "b/extra.py").write_text("boo")
    stated = statement.parse(release.statement, [release_key().entry])

    with pytest.raises(RefusedError) as caught:
        look.check(stated, str(tmp_path), "b", lambda: None)

    assert caught.value.reason == "digest_mismatch"


@pytest.mark.parametrize("name", ["b/main.py", "b/lib/a.py", "kiln/b.index"])
def test_a18_what_changed_on_flash_stops_the_switch(tmp_path: Path, name: str) -> None:
    release = make_release(FILES)
    take(release, tmp_path)
    raw = bytearray((tmp_path / name).read_bytes())
    raw[3] ^= 1
    (tmp_path / name).write_bytes(raw)
    stated = statement.parse(release.statement, [release_key().entry])

    with pytest.raises((RefusedError, OSError)) as caught:
        look.check(stated, str(tmp_path), "b", lambda: None)

    assert getattr(caught.value, "reason", "") in ("digest_mismatch", "")


def test_a_release_larger_than_the_flash_is_refused_before_a_file_is_written(
    tmp_path: Path,
) -> None:
    disk = shutil.disk_usage(tmp_path).free
    size = (1 << 30) - 1
    count = disk // size + 1
    stated: dict[str, Any] = {"files": count, "size": count * size}
    index = b"".join(f"{'0' * 64} {size} m{n:06}\n".encode() for n in range(count))
    stated["index"] = {"sha256": hashlib.sha256(index).hexdigest(), "size": len(index)}
    (tmp_path / "kiln").mkdir()

    with pytest.raises(RefusedError) as caught:
        install.fill(io.BytesIO(index), stated, str(tmp_path), "b", lambda: None)

    assert caught.value.reason == "no_space"
    assert not (tmp_path / "b").exists()
