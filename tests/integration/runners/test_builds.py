"""MicroPython builds on real Docker."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from runners.contract.board import Catalogue
from runners.contract.job import Limits, Options, Outcome
from runners.recipes.bytecode import ARCHES, Header, sub_version
from tests.integration.runners.conftest import PATH, Bench, sha256

pytestmark = pytest.mark.docker

ROOT = pathlib.Path(__file__).parents[3]
PINS = ROOT / "build-images" / "micropython" / "mpy-cross"
SAMPLE = ROOT / "tests" / "samples" / "firmware"
FILES = {"main.py": b"import a\n", "a.py": b"def f(x):\n    return x + 1\n", "lib/b.py": b"B = 1\n", "c.txt": b"c"}
NATIVE = b"import micropython\n@micropython.native\ndef f(x):\n    return x + 1\n"


def test_the_same_commit_gives_the_same_bytes(bench: Bench) -> None:
    first, second = (bench.job(FILES, family="micropython") for _ in range(2))

    results = [bench.run(each) for each in (first, second)]

    assert [each.outcome for each in results] == [Outcome.SUCCEEDED] * 2
    assert results[0].artifacts == results[1].artifacts
    packed = bench.service.uploads[f"/{first.id}"]
    assert (results[0].artifacts[0].digest, results[0].artifacts[0].size_bytes) == (sha256(packed), len(packed))
    assert results[0].image.startswith("sha256:")
    assert sorted(bench.files(first)) == ["a.mpy", "c.txt", "lib/b.mpy", "main.py"]
    assert bench.files(first)["a.mpy"][:2] == b"M\x06"
    assert b"a.py" in bench.files(first)["a.mpy"]  # the name that a traceback on the board will show


def test_all_compile_errors_name_file_and_line(bench: Bench) -> None:
    job = bench.job({**FILES, "a.py": b"x = 1\ndef f(:\n", "lib/b.py": b"\n\nreturn\n)"}, family="micropython")

    result = bench.run(job)

    assert result.outcome is Outcome.FAILED
    assert result.message == "a.py line 2: SyntaxError: invalid syntax (and 1 more)"
    assert [(each.path, each.line) for each in result.annotations] == [("a.py", 2), ("lib/b.py", 4)]
    assert "SyntaxError" in bench.log(job)


@pytest.mark.parametrize("version", sorted(path.stem for path in PINS.glob("*.txt")))
def test_every_version_of_the_image_compiles(bench: Bench, version: str) -> None:
    files = {**FILES, "n.py": NATIVE}
    job = bench.job(files, family="micropython", options=Options(micropython=version, arch="armv6m"))

    result = bench.run(job)

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, "")
    assert bench.files(job)["a.mpy"][:2] == b"M\x06"
    native = Header.parse(bench.files(job)["n.mpy"])
    assert native is not None
    assert (native.sub_version, native.arch) == (sub_version(version), ARCHES["armv6m"])


def test_native_code_for_a_board_that_has_none_is_explained_by_the_oldest_too(bench: Bench) -> None:
    options = Options(arch=None, micropython="1.19")
    result = bench.run(bench.job({**FILES, "src/n.py": NATIVE}, family="micropython", options=options))

    assert result.outcome is Outcome.REFUSED
    assert result.message.startswith("src/n.py: this MicroPython has no native code for this board")


@pytest.mark.parametrize("version", ["1.20", "1.23", "1.28"])
def test_native_code_for_a_board_that_has_none_is_explained(bench: Bench, version: str) -> None:
    options = Options(arch=None, micropython=version)
    result = bench.run(bench.job({**FILES, "n.py": NATIVE}, family="micropython", options=options))

    assert result.outcome is Outcome.FAILED
    (told,) = result.annotations
    assert (told.path, told.text.partition(": this")[0]) == ("n.py", "SyntaxError: invalid arch")
    assert "has no native code for this board" in result.message


def test_native_code_for_another_micropython_is_refused(bench: Bench) -> None:
    old = bench.job({**FILES, "n.py": NATIVE}, family="micropython", options=Options(micropython="1.21", arch="xtensa"))
    bench.run(old)

    result = bench.run(
        bench.job(
            {**FILES, "n.mpy": bench.files(old)["n.mpy"]},
            family="micropython",
            options=Options(micropython="1.28", arch="xtensa"),
        )
    )

    assert (result.outcome, result.message) == (
        Outcome.REFUSED,
        (
            "n.mpy holds native code of version 6.1 (MicroPython 1.20 and 1.21), "
            "MicroPython 1.28 loads 6.3: compile it again"
        ),
    )


def test_a_version_that_the_image_lacks_is_refused(bench: Bench) -> None:
    result = bench.run(bench.job(FILES, family="micropython", options=Options(micropython="1.99")))

    assert result.outcome is Outcome.REFUSED
    assert result.message.startswith("this runner cannot compile for MicroPython 1.99, only for 1.19, ")


MICROPYTHON_BOARDS = [each.name for each in Catalogue.load().boards.values() if each.family == "micropython"]


@pytest.mark.parametrize("board", MICROPYTHON_BOARDS)
def test_native_code_is_compiled_for_the_board(bench: Bench, board: str) -> None:
    arch = Catalogue.load().board(board).arch
    job = bench.job({**FILES, "n.py": NATIVE}, family="micropython", options=Options(arch=arch))

    result = bench.run(job)

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, "")
    assert (bench.files(job)["n.mpy"][2] >> 2) & 0xF


def test_native_code_of_another_board_is_refused(bench: Bench) -> None:
    source = bench.job({**FILES, "n.py": NATIVE}, family="micropython", options=Options(arch="armv6m"))
    bench.run(source)
    foreign = bench.files(source)["n.mpy"]

    result = bench.run(bench.job({**FILES, "n.mpy": foreign}, family="micropython", options=Options(arch="x64")))

    assert (result.outcome, result.message) == (
        Outcome.REFUSED,
        "n.mpy holds native code for armv6m, which unix cannot run",
    )


def test_a_full_disk_does_not_pass_for_a_build(bench: Bench) -> None:
    big = b"".join(b"v%d = %d\n" % (n, n) for n in range(8000))
    job = bench.job({**FILES, **{f"f{n}.py": big for n in range(8)}}, family="micropython")
    tight = type(job).from_json({**job.to_json(), "limits": {**job.to_json()["limits"], "disk_bytes": 1 << 20}})

    result = bench.run(tight)

    assert result.outcome in {Outcome.DISK_FULL, Outcome.FAILED}
    assert result.artifacts == ()


def kiln(*words: str, at: pathlib.Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runners", *words]
    environment = {"PATH": PATH, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_folder_is_built_without_any_service_to_the_same_bytes(bench: Bench, tmp_path: pathlib.Path) -> None:
    done = kiln("build", str(SAMPLE), "--board", "unix", "--output", str(tmp_path))
    files = {path.relative_to(SAMPLE).as_posix(): path.read_bytes() for path in SAMPLE.rglob("*") if path.is_file()}
    by_service = bench.job(files, family="micropython", options=Options(source="src", arch="x64"))
    bench.run(by_service)

    assert done.returncode == 0, done.stderr
    assert "unix succeeded in" in done.stdout
    assert "mpy-cross" in done.stderr
    assert (tmp_path / "files.tar").read_bytes() == bench.service.uploads[f"/{by_service.id}"]


def test_the_overlay_of_a_board_goes_to_that_board_only(tmp_path: pathlib.Path) -> None:
    built = {}
    for board in ("unix", "rpi-pico-w"):
        assert kiln("build", str(SAMPLE), "--board", board, "--output", str(tmp_path / board)).returncode == 0
        built[board] = (tmp_path / board / "files.tar").read_bytes()

    assert b"WL_GPIO0" in built["rpi-pico-w"]
    assert b"WL_GPIO0" not in built["unix"]


def test_a_work_tree_is_built_as_git_sees_it(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(SAMPLE, folder)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / ".gitignore").write_text("*.secret\n")
    (folder / "src" / "password.secret").write_text("hunter2")
    (folder / "src" / "new.txt").write_text("not committed")

    done = kiln("build", ".", "--board", "unix", "--output", str(tmp_path / "out"), at=folder)

    assert done.returncode == 0, done.stderr
    packed = (tmp_path / "out" / "files.tar").read_bytes()
    assert b"hunter2" not in packed
    assert b"not committed" in packed


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"main.py": "x = ("}, 0, "esp32-generic succeeded"),  # main.py is not compiled: the board tells
        ({"main.py": "", "a.py": "x = ("}, 1, "esp32-generic failed in"),
        ({"a.py": ""}, 1, "there is no main.py"),
        ({"main.py": "", "kiln.toml": "[firmware]\nbords = []"}, 2, 'kiln.toml line 2: unknown key "bords"'),
    ],
)
def test_the_exit_code_tells_how_it_went(tmp_path: pathlib.Path, files: dict[str, str], code: int, said: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    done = kiln("build", str(tmp_path))

    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


def test_an_unknown_board_or_folder_says_so(tmp_path: pathlib.Path) -> None:
    board = kiln("build", str(SAMPLE), "--board", "unixx")
    folder = kiln("build", str(tmp_path / "absent"))

    assert (board.returncode, folder.returncode) == (2, 2)
    assert 'did you mean "unix"?' in board.stderr
    assert "is not a folder" in folder.stderr


def test_limits_have_sensible_defaults() -> None:
    limits = Limits()

    assert limits.disk_bytes <= limits.memory_bytes
    assert limits.output_bytes <= limits.disk_bytes
