"""Changes of a file are told by the kernel, and anybody may wake who waits for them."""

import pathlib
import threading
import time

import pytest

from runners.inotify import Changes

LONG_S = 20.0


def test_what_is_written_is_told_once(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"")
    with Changes(file) as changes:
        assert changes.wait(0.01) is False
        with file.open("ab") as opened:
            opened.write(b"more")
        assert changes.wait(LONG_S) is True
        assert changes.wait(0.01) is False


def test_who_waits_is_told_at_once_and_may_be_woken(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"")
    with Changes(file) as changes:
        for act in (changes.wake, lambda: file.write_bytes(b"more")):
            began = time.monotonic()
            threading.Timer(0.05, act).start()
            assert changes.wait(LONG_S) is True
            assert time.monotonic() - began < LONG_S / 2


def test_another_file_is_nobodys_matter(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"")
    with Changes(file) as changes:
        (tmp_path / "other").write_bytes(b"more")
        assert changes.wait(0.05) is False


def test_a_file_that_is_not_there_is_an_error_and_leaves_nothing_open(tmp_path: pathlib.Path) -> None:
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))

    with pytest.raises(FileNotFoundError):
        Changes(tmp_path / "none")

    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before
