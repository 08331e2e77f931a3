"""One job from start to end, against an engine and a service in memory."""

import io
import tarfile
from dataclasses import replace

import pytest

from runners import artifacts
from runners.contract.job import FILES_ARTIFACT, Job, Limits, Options, Outcome
from runners.engine import ContainerSpec, End, Image
from runners.errors import EngineError
from runners.recipes.micropython import MicroPython
from runners.recipes.snapshot import Snapshot
from runners.run import Runner
from tests.fakes.engine import InMemoryEngine, Printed, Program, compile_tree, spoken
from tests.fakes.runner_service import InMemoryService

GOOD = {"src/main.py": b"import a\n", "src/a.py": b"x = 1\n"}
KILLED = End(exit_code=137, is_out_of_memory=True)


def packed(files: dict[str, bytes]) -> bytes:
    return artifacts.pack(files)


def job(service: InMemoryService, files: dict[str, bytes], **limits: float) -> Job:
    return Job(
        id="k1-1-unix",
        board="unix",
        family="micropython",
        commit="c" * 40,
        source=service.offer(packed(files)),
        uploads={FILES_ARTIFACT: "/up"},
        log_url="/log",
        options=Options(source="src"),
        limits=Limits(**limits),  # type: ignore[arg-type]  # whatever Limits takes
    )


def runner(service: InMemoryService, program: Program = compile_tree, **more: object) -> Runner:
    ticks = iter(range(1000))
    return Runner(
        name="r",
        engine=InMemoryEngine(program),
        service=service,
        clock=lambda: float(next(ticks)),
        **more,  # type: ignore[arg-type]  # whatever Runner takes
    )


def ends(printed: Printed) -> Program:
    return lambda _: printed


def test_a_good_commit_becomes_an_artifact() -> None:
    service = InMemoryService()
    work = runner(service)

    result = work.run(job(service, GOOD))

    assert (result.outcome, result.image, result.seconds) == (Outcome.SUCCEEDED, "sha256:0", 1.0)
    assert result.artifacts == (artifacts.describe(FILES_ARTIFACT, service.uploads["/up"]),)
    with tarfile.open(fileobj=io.BytesIO(service.uploads["/up"])) as tar:
        assert tar.getnames() == ["a.mpy", "main.py"]
    assert b"mpy-cross" in service.logs["/log"].content
    assert service.logs["/log"].is_closed
    assert work.engine.jobs("r") == set()


def test_a_compile_error_names_file_and_line() -> None:
    service = InMemoryService()

    result = runner(service).run(job(service, {**GOOD, "src/a.py": b"x = 1\nx = (\n", "src/b.py": b")"}))

    assert result.outcome is Outcome.FAILED
    assert result.message == "src/a.py line 2: SyntaxError: wrong (and 1 more)"
    assert [(each.path, each.line) for each in result.annotations] == [("src/a.py", 2), ("src/b.py", 1)]
    assert "/up" not in service.uploads


@pytest.mark.parametrize(
    ("named", "said"), [("", "make it with build-images/build.py"), ("sha256:2", "name another one, or none")]
)
@pytest.mark.parametrize("labels", [{}, {"kiln.entry": "1"}])
def test_an_image_with_another_first_process_is_not_started(labels: dict[str, str], named: str, said: str) -> None:
    """It would say something that is not understood: every job ended as a full disk once."""
    service = InMemoryService()
    work = runner(service, image=named)
    assert isinstance(work.engine, InMemoryEngine)
    name = named or MicroPython.image
    work.engine.images[MicroPython.image] = Image(
        name=name, digest="sha256:2", labels={"kiln.micropython": "1.28", **labels}
    )

    result = work.run(job(service, GOOD))

    assert result.outcome is Outcome.ERROR
    assert result.message == f"build image {name} is of another version: {said}"
    assert "/log" not in service.logs


@pytest.mark.parametrize(
    ("printed", "outcome", "message"),
    [
        (Printed(end=KILLED), Outcome.OUT_OF_MEMORY, "out of memory: the build needs more than 512 MiB"),
        (
            Printed(output=spoken({}, exit_code=1, oom=2)),
            Outcome.OUT_OF_MEMORY,
            "out of memory: the build needs more than 512 MiB",
        ),
        (
            Printed(output=spoken({}, exit_code=1), log=b"x: write: No space left on device\nlater\n"),
            Outcome.DISK_FULL,
            "disk full: the build needs more than 256 MiB of work area",
        ),
        (
            Printed(output=spoken({"main.py": b""}, blocks=0)),
            Outcome.DISK_FULL,
            "disk full: the build needs more than 256 MiB of work area",
        ),
        (
            Printed(output=spoken({}, exit_code=7), log=b"first\nlast \x1b[31mwords\n\n"),
            Outcome.FAILED,
            "the build ended with exit code 7: last  [31mwords",
        ),
        (
            Printed(output=spoken({}, exit_code=2), log=b"./build.sh: 3: Cannot fork\n"),
            Outcome.FAILED,
            "the build ended with exit code 2: ./build.sh: 3: Cannot fork (no more than 128 processes may run at once)",
        ),
        (
            Printed(output=spoken({}, exit_code=2), log=b"make: vfork: retry: Resource temporarily unavailable\n\n"),
            Outcome.FAILED,
            "the build ended with exit code 2: make: vfork: retry: Resource temporarily unavailable (no more than 128",
        ),
        (Printed(end=End(exit_code=75, is_out_of_memory=False)), Outcome.FAILED, "the build broke off"),
        (
            Printed(output=b"started\nexit=0 oom=0 blocks=1 inodes=1\nrubbish"),
            Outcome.REFUSED,
            "the outputs are not a readable archive: truncated header",
        ),
        (Printed(output=spoken({"../x": b""})), Outcome.REFUSED, "'../x' in the outputs is not relative and plain"),
        (Printed(output=spoken({"a.mpy": b"M\x05__"})), Outcome.REFUSED, "a.mpy is an .mpy file of version 5"),
    ],
)
def test_every_end_is_told_apart(printed: Printed, outcome: Outcome, message: str) -> None:
    service = InMemoryService()

    result = runner(service, ends(printed)).run(job(service, GOOD))

    assert result.outcome is outcome
    assert result.message.startswith(message)
    assert not service.uploads


def test_a_job_that_does_not_end_is_timed_out() -> None:
    def hang(tree: dict[str, bytes]) -> Printed:
        raise EngineError("never called: the container is not fed")

    service = InMemoryService()
    work = runner(service, hang)
    stuck = work.engine.start(spec_of(job(service, GOOD)))
    assert isinstance(work.engine, InMemoryEngine)
    work.engine.containers["k1-1-unix"].printed = Printed(output=b"started\n")

    result = work.run(job(service, GOOD, time_s=0.01))

    assert (result.outcome, result.message) == (Outcome.TIMED_OUT, "still running after 0.01 s")
    assert stuck.end().exit_code == 0
    assert work.engine.jobs("r") == set()


def spec_of(each: Job) -> ContainerSpec:
    return ContainerSpec(job=each.id, runner="r", image="kiln/micropython:current", limits=each.limits)


def test_a_resumed_container_is_not_fed_again() -> None:
    service = InMemoryService()
    fed = []

    def count(tree: dict[str, bytes]) -> Printed:
        fed.append(tree)
        return compile_tree(tree)

    work = runner(service, count)
    one = job(service, GOOD)
    before = work.engine.start(spec_of(one))
    staged = work.recipes["micropython"].stage
    before.feed(staged(one, Snapshot.parse(packed(GOOD)), work.engine.image("kiln/micropython:current")).tree)

    result = work.run(one)

    assert result.outcome is Outcome.SUCCEEDED
    assert len(fed) == 1


@pytest.mark.parametrize("limit", [1, 10, 63, 64, 65, 1000])
def test_a_log_is_cut_with_a_clear_mark(limit: int) -> None:
    service = InMemoryService()
    talk = Printed(log=b"0123456789abcdef" * 4, output=spoken({"main.py": b""}))

    result = runner(service, ends(talk)).run(job(service, GOOD, log_bytes=limit))

    kept = bytes(service.logs["/log"].content)
    mark = f"\n[kiln: log cut at {limit} bytes]\n".encode()
    assert kept == (talk.log if limit >= 64 else talk.log[:limit] + mark)
    assert result.outcome is Outcome.SUCCEEDED


def test_our_own_trouble_is_an_error_worth_a_retry() -> None:
    service = InMemoryService()
    one = job(service, GOOD)
    service.is_away = True
    work = runner(service)

    away = work.run(one)
    foreign = work.run(replace(one, family="cobol"))

    assert (away.outcome, away.message) == (Outcome.ERROR, "GET: nobody answers")
    assert foreign.outcome is Outcome.ERROR
    assert "cobol" in foreign.message


def test_a_job_that_was_cancelled_says_so() -> None:
    service = InMemoryService()
    broken = Printed(end=End(exit_code=137, is_out_of_memory=False))

    result = runner(service, ends(broken), is_cancelled=lambda _: True).run(job(service, GOOD))

    assert result.outcome is Outcome.CANCELLED


def test_a_job_without_an_address_for_its_artifact_is_an_error() -> None:
    service = InMemoryService()

    result = runner(service).run(replace(job(service, GOOD), uploads={}))

    assert (result.outcome, result.message) == (Outcome.ERROR, "the job has no address to upload files.tar to")
