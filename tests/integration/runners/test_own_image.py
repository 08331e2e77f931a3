"""An operator's own image on real Docker: adopted by the command that operators use, confined as every build."""

import json
import pathlib
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from runners import artifacts
from runners.contract.job import Job, Limits, Options, Outcome, Result
from tests.integration.runners.conftest import Bench, build

pytestmark = pytest.mark.docker

ROOT = pathlib.Path(__file__).parents[3]
ADOPT = [sys.executable, str(ROOT / "build-images" / "build.py"), "--adopt"]
TOOLS = "kiln-test/tools:1"
# An image as operators have them: tools, a variable, root, an entry point of its own.
DOCKERFILE = """FROM kiln/base:bookworm
ENV TOOLCHAIN=/opt/tools
RUN mkdir /opt/tools && printf '#!/bin/sh\\nexec cat "$@"\\n' >/opt/tools/join && chmod 755 /opt/tools/join
ENTRYPOINT ["/bin/false"]
"""

Run = Callable[..., tuple[Result, str, Mapping[str, bytes]]]


def adopt(image: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*ADOPT, image], check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tools")
    build(folder, DOCKERFILE, TOOLS)
    assert adopt(TOOLS).returncode == 0


@pytest.fixture
def own(bench: Bench, tools: None) -> Run:
    def run(
        files: Mapping[str, bytes], *command: str, outputs: tuple[str, ...] = ("out/**",), **options: object
    ) -> tuple[Result, str, Mapping[str, bytes]]:
        told = Options(image=TOOLS, command=command, outputs=outputs, **options)  # type: ignore[arg-type]
        made = bench.job(files, family="own", options=told)
        work = replace(made, board="Board_1", uploads={"outputs.tar": f"/{made.id}"}, limits=Limits(time_s=30))
        result = bench.run(work)
        packed = bench.service.uploads.get(f"/{made.id}")
        return result, bench.log(work), artifacts.unpack(iter([packed]), Limits()) if packed else {}

    return run


def test_a_command_runs_and_its_outputs_are_kept(own: Run) -> None:
    script = b"mkdir -p out/deep\n$TOOLCHAIN/join a.txt b.txt >out/ab.txt\necho $BOARD >out/deep/board\n"

    result, log, kept = own({"build.sh": script, "a.txt": b"a", "b.txt": b"b"}, "sh", "build.sh")

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, ""), log
    assert kept == {"out/ab.txt": b"ab", "out/deep/board": b"Board_1\n"}
    assert [each.name for each in result.sizes] == ["out/ab.txt", "out/deep/board"]


def test_the_command_runs_in_the_folder_of_the_source(own: Run) -> None:
    files = {"my app/in.txt": b"x", "other.txt": b"y"}

    result, log, kept = own(files, "cp", "in.txt", "copy.txt", source="my app", outputs=("*.txt",))

    assert result.outcome is Outcome.SUCCEEDED, log
    assert sorted(kept) == ["copy.txt", "in.txt"]


def test_words_reach_the_command_as_they_are(own: Run) -> None:
    words = ["$(id)", "a b", "'; touch /work/in/out/x; '", "*", "`id`", "-n"]

    result, log, kept = own({"out/keep": b""}, "printf", "<%s>\n", *words)

    assert result.outcome is Outcome.SUCCEEDED
    assert log.splitlines() == [f"<{each}>" for each in words]
    assert sorted(kept) == ["out/keep"]


def test_the_sandbox_is_that_of_every_build(own: Run) -> None:
    script = b"""id -u; id -g; ls /sys/class/net
for path in /x /opt/kiln/recipe /etc/x /opt/tools/join; do touch $path 2>/dev/null && echo WROTE $path; done
grep -h '^Cap\\|^NoNewPrivs' /proc/self/status
mkdir out; ln -s /etc/passwd out/link; echo 1 >out/plain; mkfifo out/pipe
"""

    result, log, kept = own({"build.sh": script}, "sh", "build.sh")

    assert result.outcome is Outcome.SUCCEEDED, log
    said = log.split()
    assert said[:3] == ["65534", "65534", "lo"]
    assert "WROTE" not in log
    assert "NoNewPrivs:\t1" in log
    assert {line.split()[1] for line in log.splitlines() if line.startswith("Cap")} == {"0000000000000000"}
    assert sorted(kept) == ["out/plain"]


def test_a_command_that_fails_says_its_exit_code_and_last_words(own: Run) -> None:
    result, _, _ = own({"a": b""}, "sh", "-c", "echo no such board; exit 3")
    missing, _, _ = own({"a": b""}, "no-such-program")

    assert (result.outcome, result.message) == (Outcome.FAILED, "the build ended with exit code 3: no such board")
    assert missing.outcome is Outcome.FAILED
    assert "no-such-program: not found" in missing.message


def test_a_command_that_makes_nothing_is_refused(own: Run) -> None:
    result, _, _ = own({"a": b""}, "true")

    assert result.outcome is Outcome.REFUSED
    assert result.message == "the command made nothing that outputs names: out/**"


def test_the_same_commit_gives_the_same_bytes(own: Run) -> None:
    results = [own({"a": b"1"}, "sh", "-c", "mkdir out; cp a out/b; cp a out/a")[0] for _ in range(2)]

    assert results[0].artifacts == results[1].artifacts


def test_an_image_that_is_not_on_the_runner_is_our_trouble(bench: Bench) -> None:
    options = Options(image="acme/nowhere", command=("true",), outputs=("*",))

    result = bench.run(bench.job({"a": b""}, family="own", options=options))

    assert result.outcome is Outcome.ERROR
    assert "kiln-own/acme/nowhere:latest is missing on the runner" in result.message


def test_adopting_again_does_nothing_and_an_image_that_is_not_here_is_said(tools: None) -> None:
    assert adopt(TOOLS).stdout == f"build image kiln-own/{TOOLS} is up to date\n"
    assert "there is no image kiln-test/nowhere:latest on this machine" in adopt("kiln-test/nowhere").stderr


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM kiln/base:bookworm\nVOLUME /data\n", "has volumes (/data), which a build cannot be given"),
        ("FROM kiln/base:bookworm\nRUN rm /usr/bin/xargs\n", "the image lacks xargs"),
        ("FROM scratch\nCOPY Dockerfile /\n", "docker build"),
    ],
    ids=["volumes", "a tool is missing", "no shell"],
)
def test_an_image_that_cannot_build_is_not_adopted(tmp_path: pathlib.Path, dockerfile: str, said: str) -> None:
    """Nothing is left of the attempt: what is made of an image, containers too, has its labels."""
    number = secrets.token_hex(8)
    mark, name = f"kiln.test={number}", f"kiln-test/unfit:{number}"
    build(tmp_path, f"{dockerfile}LABEL {mark}\n", name)
    try:
        before = docker("images", "--all", "--quiet", "--filter", f"label={mark}")

        done = adopt(name)

        assert done.returncode == 1
        assert said in done.stderr
        assert docker("images", "--all", "--quiet", "--filter", f"label={mark}") == before != []
        assert docker("ps", "--all", "--quiet", "--filter", f"label={mark}") == []
    finally:
        docker("image", "rm", name)


def test_nothing_is_left_of_an_image_whose_time_is_over(tmp_path: pathlib.Path) -> None:
    """Killed while a command runs: its container goes, and so do the images of the steps before."""
    mark = f"kiln.test={secrets.token_hex(8)}"
    (tmp_path / "Dockerfile").write_text(f"FROM kiln/base:bookworm\nLABEL {mark}\nRUN echo begun\nRUN sleep 100\n")
    act = f"import build, os; os.environ['DOCKER_BUILDKIT'] = '0'; build.build_image({str(tmp_path)!r}, timeout_s=10)"
    folder = ROOT / "build-images"

    done = subprocess.run(
        [sys.executable, "-c", act],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        cwd=folder,
    )

    assert "BuildImageError: no end after 10 s: docker build" in done.stderr
    assert docker("images", "--all", "--quiet", "--filter", f"label={mark}") == []
    assert docker("ps", "--all", "--quiet", "--filter", f"label={mark}") == []


def docker(*words: str) -> list[str]:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=60).stdout.split()


def test_a_job_of_another_version_travels_with_its_image(bench: Bench) -> None:
    """Words and globs survive the queue, which carries JSON."""
    options = Options(image=TOOLS, command=("make", "a b"), outputs=("*.hex",))
    work = bench.job({"a": b""}, family="own", options=options)

    assert Job.from_json(json.loads(json.dumps(work.to_json()))) == work
