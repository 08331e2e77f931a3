"""Where `kiln build` takes the source from, on real git repositories."""

import io
import pathlib
import subprocess
import tarfile

import pytest

from runners.errors import RefusedError
from runners.recipes.snapshot import Snapshot
from runners.worktree import take
from tests.simulators import git as simulators


def git(at: pathlib.Path, *words: object) -> str:
    return simulators.git(at, "-c", "protocol.file.allow=always", *words)


def repository(at: pathlib.Path, files: dict[str, str]) -> str:
    """Made and committed; the commit."""
    at.mkdir(parents=True)
    git(at, "init", "--quiet", "--initial-branch=main")
    return commit(at, files)


def commit(at: pathlib.Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    git(at, "add", "--all")
    git(at, "commit", "--quiet", "--message", "more")
    return git(at, "rev-parse", "HEAD")


@pytest.fixture
def work(tmp_path: pathlib.Path) -> pathlib.Path:
    files = {"main.py": "1\n", "docs/x.md": "x", ".gitattributes": "docs export-ignore\n", ".gitignore": "*.secret\n"}
    repository(tmp_path / "work", files)
    return tmp_path / "work"


def names(archive: bytes) -> set[str]:
    return set(Snapshot.parse(archive).files)


def test_a_clean_work_tree_is_its_commit_to_the_byte(work: pathlib.Path) -> None:
    (work / "password.secret").write_text("hunter2")  # ignored, so it changes nothing

    taken = take(work)

    assert (taken.commit, taken.changed, taken.name) == (git(work, "rev-parse", "HEAD"), (), "work")
    archive = subprocess.run(["git", "-C", str(work), "archive", "HEAD"], check=True, capture_output=True).stdout
    assert taken.snapshot == archive
    assert "docs/x.md" not in names(taken.snapshot)  # as the service leaves it out, too


@pytest.mark.parametrize(
    ("act", "changed"),
    [
        (lambda work: (work / "main.py").write_text("2\n"), "main.py"),
        (lambda work: (work / "new.py").write_text("2\n"), "new.py"),
        (lambda work: (work / "main.py").unlink(), "main.py"),
        (lambda work: git(work, "rm", "--quiet", "--cached", "docs/x.md"), "docs/x.md"),
    ],
    ids=["changed", "new", "deleted", "no longer tracked"],
)
def test_changes_are_built_as_they_lie_and_named(work: pathlib.Path, act: object, changed: str) -> None:
    act(work)  # type: ignore[operator]  # one of the functions above

    taken = take(work)

    assert taken.commit == ""
    assert changed in taken.changed
    on_disk = {
        path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file() and ".git" not in path.parts
    }
    assert names(taken.snapshot) == on_disk


def test_submodules_are_part_of_it(tmp_path: pathlib.Path) -> None:
    repository(tmp_path / "deep", {"deep.py": "d\n"})
    repository(tmp_path / "inner", {"inner.py": "i\n"})
    git(tmp_path / "inner", "submodule", "--quiet", "add", str(tmp_path / "deep"), "more/deep")
    commit(tmp_path / "inner", {})
    repository(tmp_path / "outer", {"main.py": "1\n"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(tmp_path / "inner"), "lib/inner")
    head = commit(tmp_path / "outer", {})
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", str(tmp_path / "outer"), "clone")

    taken = take(tmp_path / "clone")

    assert taken.commit == head
    found = names(taken.snapshot)
    assert {"main.py", "lib/inner/inner.py", "lib/inner/more/deep/deep.py"} <= found


def test_a_submodule_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    repository(tmp_path / "inner", {"inner.py": "i\n"})
    repository(tmp_path / "outer", {"main.py": "1\n"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(tmp_path / "inner"), "lib")
    commit(tmp_path / "outer", {})
    git(tmp_path, "clone", "--quiet", str(tmp_path / "outer"), "clone")

    with pytest.raises(RefusedError, match="the submodule lib is not checked out"):
        take(tmp_path / "clone")


def test_a_folder_of_a_repository_is_no_commit(work: pathlib.Path) -> None:
    commit(work, {"part/main.py": "2\n"})

    taken = take(work / "part")

    assert (taken.commit, taken.changed, names(taken.snapshot)) == ("", (), {"main.py"})


def test_a_repository_without_a_commit_is_built_as_it_lies(tmp_path: pathlib.Path) -> None:
    (tmp_path / "main.py").write_text("1\n")
    git(tmp_path, "init", "--quiet")

    taken = take(tmp_path)

    assert (taken.commit, names(taken.snapshot)) == ("", {"main.py"})


def test_a_clones_settings_change_no_byte_and_watch_nothing(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-run'}\n")
    program.chmod(0o755)
    before = take(work).snapshot
    for name, value in (("core.fsmonitor", str(program)), ("core.autocrlf", "true"), ("tar.umask", "0077")):
        git(work, "config", name, value)

    assert take(work).snapshot == before
    assert not (tmp_path / "was-run").exists()


PROGRAM = """#!/bin/sh
touch {was_run}
sed s/1/HACKED/
"""
NAMED = (
    ("filter.x.clean", "{}"),
    ("filter.x.smudge", "{}"),
    ("filter.x.required", "true"),
    ("diff.x.textconv", "{}"),
    ("diff.external", "{}"),
    ("core.fsmonitor", "{}"),
    ("tar.tar.command", "{}"),
)


def arm(at: pathlib.Path, program: pathlib.Path) -> None:
    """A repository whose own settings name a program wherever they can."""
    for name, value in NAMED:
        git(at, "config", name, value.format(program))
    git(at, "config", "core.hooksPath", program.parent)
    inside = pathlib.Path(git(at, "rev-parse", "--absolute-git-dir"))
    (inside / "info").mkdir(exist_ok=True)
    (inside / "info" / "attributes").write_text("*.py filter=x diff=x\n* export-ignore\n")
    (inside / "index").touch()  # so that git itself would look into the files again


@pytest.fixture
def program(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / "bin" / "program"
    made.parent.mkdir()
    made.write_text(PROGRAM.format(was_run=tmp_path / "was-run"))
    made.chmod(0o755)
    for hook in ("post-index-change", "post-checkout"):
        (made.parent / hook).symlink_to(made)
    return made


def test_no_program_that_a_clone_names_is_run_or_changes_a_byte(
    work: pathlib.Path, program: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = take(work)
    arm(work, program)

    assert take(work) == before
    (work / "main.py").write_text("3\n")
    assert take(work).changed == ("main.py",)
    assert not (tmp_path / "was-run").exists()


def test_no_program_that_a_submodule_names_is_run(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    repository(tmp_path / "inner", {"inner.py": "1\n"})
    repository(tmp_path / "outer", {"main.py": "1\n"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(tmp_path / "inner"), "lib")
    commit(tmp_path / "outer", {})
    before = take(tmp_path / "outer")
    arm(tmp_path / "outer" / "lib", program)

    assert take(tmp_path / "outer") == before
    (tmp_path / "outer" / "lib" / "inner.py").write_text("2\n")
    assert take(tmp_path / "outer").changed == ("lib",)
    assert not (tmp_path / "was-run").exists()


def test_a_file_that_a_filter_made_is_not_as_committed(work: pathlib.Path) -> None:
    """As with Git LFS: git calls it unchanged, and the commit holds something else."""
    git(work, "config", "filter.x.clean", "sed s/large/1/")
    (work / ".git" / "info" / "attributes").write_text("*.py filter=x\n")
    (work / "main.py").write_text("large\n")
    git(work, "add", "main.py")
    assert git(work, "status", "--porcelain") == ""

    taken = take(work)

    assert (taken.commit, taken.changed) == ("", ("main.py",))
    assert Snapshot.parse(taken.snapshot).files["main.py"] == b"large\n"


@pytest.mark.parametrize(
    ("name", "value"), [("core.splitIndex", "true"), ("core.fileMode", "false"), ("core.untrackedCache", "true")]
)
def test_settings_of_the_index_make_no_change(work: pathlib.Path, name: str, value: str) -> None:
    before = take(work)
    git(work, "config", name, value)
    git(work, "update-index", "--force-write-index")
    if name == "core.fileMode":
        (work / "main.py").chmod(0o755)

    assert take(work) == before


def test_a_worktree_beside_its_repository_is_its_commit(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    git(work, "worktree", "add", "--quiet", "--detach", str(tmp_path / "beside"))

    assert take(tmp_path / "beside").snapshot == take(work).snapshot


def test_what_the_repository_alone_ignores_is_no_change(work: pathlib.Path) -> None:
    (work / ".git" / "info" / "exclude").write_text("notes\n")
    (work / "notes").write_text("x")

    assert take(work).changed == ()


def test_a_work_tree_of_another_user_is_not_taken_with_all_that_it_ignores(
    work: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "password.secret").write_text("hunter2")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for tests of exactly this
    monkeypatch.setenv("HOME", "/nonexistent")

    with pytest.raises(RefusedError, match="work belongs to another user"):
        take(work)


def test_a_snapshot_that_was_kept_is_taken_as_it_is(tmp_path: pathlib.Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("main.py"))
    (tmp_path / "snapshot.tar").write_bytes(packed.getvalue())

    assert take(tmp_path / "snapshot.tar").snapshot == packed.getvalue()


def test_a_folder_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RefusedError, match="absent is not a folder"):
        take(tmp_path / "absent")
