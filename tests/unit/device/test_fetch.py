"""A release by the shortest way that works: the pack, what is left of it, or the bundle. A19."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import ota
from ota import app, update
from ota.reason import RefusedError
from tests.fakes.packboard import PackBoard, quiet
from tests.fakes.packs import pack_of
from tests.fakes.releases import FakeRelease, desired_for, make_release
from tests.fakes.signing import foreign_key

BODY = b"".join(b"def f%d(x):\n    return x + %d\n" % (n, n * 7) for n in range(60))
OLD = {"app.py": BODY, "main.py": b"import app\n"}
NEW = {**OLD, "app.py": BODY[:400] + b"# changed\n" + BODY[400:]}
NEXT = {**NEW, "main.py": b"import app\napp.f1(1)\n"}


class Source:
    """A body that is asked for when it is first read, from `at` on."""

    def __init__(self, body: bytes, asked: list[str]) -> None:
        self._body = body
        self._asked = asked
        self._is_open = False
        self.at = 0

    def readinto(self, view: memoryview) -> int:
        if not self._is_open:
            self._is_open = True
            if not self.at:
                self._asked.append("bundle")
        part = self._body[self.at : self.at + len(view)]
        view[: len(part)] = part
        self.at += len(part)
        return len(part)

    def open(self) -> None:
        """It is asked for when it is read."""

    def close(self) -> None:
        self._is_open = False


class Line:
    """The service behind `ota.download`: bodies by path, `asked` in order. `rude` may spoil an answer."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.rude: Callable[[str, Path, int], None] = lambda _what, _target, _have: None

    def serve(self, older: FakeRelease, newer: FakeRelease) -> None:
        path = f"/ota/v1/releases/{newer.digest}/"
        self.bodies[path + "bundle"] = newer.bundle
        self.bodies[path + f"pack/2?from={older.digest}"] = pack_of(older, newer)

    def spoil_packs(self, change: Callable[[bytes], bytes]) -> None:
        self.bodies = {path: change(body) if "/pack/2?" in path else body for path, body in self.bodies.items()}

    def to_file(self, device: object, path: str, limit: int, target: str, idle: Callable[[], None]) -> int:
        file = Path(target)
        have = file.stat().st_size if file.exists() else 0
        self.asked.append(f"pack {have}")
        self.rude("pack", file, have)
        if path not in self.bodies:
            raise RefusedError("no_pack")
        assert len(self.bodies[path]) <= limit
        with file.open("ab") as f:
            f.write(self.bodies[path][have:])
        return file.stat().st_size

    def source(self, device: object, path: str, size: int, idle: Callable[[], None]) -> "Source":
        assert len(self.bodies[path]) == size
        return Source(self.bodies[path], self.asked)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    made = Line()
    module = ModuleType("ota.download")
    module.to_file, module.Source = made.to_file, made.source  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ota.download", module)
    monkeypatch.setattr(ota, "download", module, raising=False)
    # The agent forgets modules while it does without; what stands in for this one must stay.
    forget = app.forget
    monkeypatch.setattr(app, "forget", lambda *names: forget(*(name for name in names if name != "download")))
    return made


@pytest.fixture(scope="module")
def releases() -> tuple[FakeRelease, FakeRelease, FakeRelease]:
    trees = (OLD, NEW, NEXT)
    one, two, three = (make_release(tree, counter=n, version=f"{n}.0.0") for n, tree in enumerate(trees, 1))
    return one, two, three


@pytest.fixture
def board(tmp_path: Path, line: Line, releases: tuple[FakeRelease, FakeRelease, FakeRelease]) -> PackBoard:
    """Runs the first release; the line has the second."""
    made = PackBoard(tmp_path)
    made.run(releases[0])
    line.serve(releases[0], releases[1])
    return made


def fetched(board: PackBoard, release: FakeRelease) -> dict[str, bytes]:
    update.fetch(desired_for(release, seq=2), board, quiet)
    return board.files("a" if board.state["active"] == "b" else "b")


def packs_on(board: PackBoard) -> list[str]:
    return sorted(path.name for path in (board.folder / "kiln").glob("pack.*"))


Three = tuple[FakeRelease, FakeRelease, FakeRelease]


def test_a_pack_is_taken_and_leaves_nothing_behind(board: PackBoard, line: Line, releases: Three) -> None:
    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0"]
    assert packs_on(board) == []


def test_where_there_is_no_pack_the_bundle_is_taken(board: PackBoard, line: Line, releases: Three) -> None:
    line.bodies = {path: body for path, body in line.bodies.items() if "/pack/2?" not in path}

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0", "bundle"]


def test_a_board_that_cannot_inflate_takes_the_bundle(
    board: PackBoard, line: Line, releases: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "_inflates", lambda: False)

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["bundle"]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body + b"x",
        lambda body: body[: len(body) - 20] + b"?" * 20,
        lambda body: b"KILNP1" + body[6:],
        lambda body: b"<html>busy</html>\n" * 9,
        lambda _: b"",
        lambda body: body[:40] + bytes([body[40] ^ 1]) + body[41:],
    ],
    ids=["short", "long", "spoilt", "another version", "a page", "empty", "signature"],
)
def test_whatever_is_wrong_about_a_pack_the_bundle_is_taken_once(
    board: PackBoard, line: Line, releases: Three, change: Callable[[bytes], bytes]
) -> None:
    line.spoil_packs(change)

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0", "bundle"]
    assert packs_on(board) == []
    assert board.files(board.state["active"]) == OLD


def test_a_pack_signed_by_a_stranger_gives_the_signed_bundle(board: PackBoard, line: Line, releases: Three) -> None:
    forged = make_release(NEW, key=foreign_key(), counter=2)
    line.spoil_packs(lambda _: pack_of(releases[0], forged))

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0", "bundle"]


def test_a_bundle_that_is_refused_is_refused_by_its_own_reason(board: PackBoard, line: Line, releases: Three) -> None:
    forged = make_release(NEW, key=foreign_key(), counter=2)
    line.serve(releases[0], forged)

    with pytest.raises(RefusedError) as caught:
        fetched(board, forged)

    assert caught.value.reason == "bad_signature"
    assert line.asked == ["pack 0", "bundle"]


def broken_at(share: float, line: Line) -> Callable[[str, Path, int], None]:
    """A line that breaks after a part of the pack, once."""

    def rude(_what: str, target: Path, have: int) -> None:
        if have == 0:
            body = next(body for path, body in line.bodies.items() if "/pack/2?" in path)
            target.write_bytes(body[: int(len(body) * share)])
            raise RefusedError("download_failed", "no answer")

    return rude


def test_a_pack_that_breaks_off_goes_on_the_next_time(board: PackBoard, line: Line, releases: Three) -> None:
    line.rude = broken_at(0.5, line)
    with pytest.raises(RefusedError) as caught:
        fetched(board, releases[1])
    assert caught.value.reason == "download_failed"
    assert len(packs_on(board)) == 1

    assert fetched(board, releases[1]) == NEW
    assert line.asked[0] == "pack 0"
    assert line.asked[1].startswith("pack ")
    assert line.asked[1] != "pack 0"
    assert packs_on(board) == []


def test_a_line_that_gives_nothing_of_a_pack_is_asked_for_the_bundle(
    board: PackBoard, line: Line, releases: Three
) -> None:
    def rude(*_: object) -> None:
        raise RefusedError("download_failed", "HTTP 500")

    line.rude = rude

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0", "bundle"]


def test_a_pack_that_was_resumed_and_is_wrong_is_fetched_once_more(
    board: PackBoard, line: Line, releases: Three
) -> None:
    name = f"pack.{releases[1].digest[:16]}.{releases[0].digest[:16]}"
    whole = next(body for path, body in line.bodies.items() if "/pack/2?" in path)
    (board.folder / "kiln" / name).write_bytes(b"?" * (len(whole) // 2))

    assert fetched(board, releases[1]) == NEW
    assert line.asked == [f"pack {len(whole) // 2}", "pack 0"]
    assert packs_on(board) == []


def test_a19_a_pack_begun_for_another_base_is_not_resumed(board: PackBoard, line: Line, releases: Three) -> None:
    one, two, three = releases
    line.serve(one, three)
    line.rude = broken_at(0.9, line)
    with pytest.raises(RefusedError):
        fetched(board, three)
    line.rude = lambda *_: None
    board.run(two)
    line.serve(two, three)

    assert fetched(board, three) == NEXT
    assert line.asked[1:] == ["pack 0"]
    assert packs_on(board) == []


def test_a19_a_base_that_the_application_changed_means_the_bundle(
    board: PackBoard, line: Line, releases: Three
) -> None:
    (board.folder / board.state["active"] / "app.py").write_bytes(b"changed by itself\n")

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0", "bundle"]


def test_a_flash_without_room_for_the_pack_takes_the_bundle(board: PackBoard, line: Line, releases: Three) -> None:
    def rude(_what: str, target: Path, _have: int) -> None:
        target.write_bytes(b"some")
        raise OSError(28)

    line.rude = rude

    assert fetched(board, releases[1]) == NEW
    assert line.asked == ["pack 0", "bundle"]
    assert packs_on(board) == []
