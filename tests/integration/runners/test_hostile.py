"""Hostile repositories, one after another (rows 7, 10 and 17): each is contained and named, the next job is unaffected.

By the real recipe and its compiler where they have a say, else by a shell script in their place: what a repository
could do that had found a hole in the compiler. With the engine's own runtime and with gVisor.
"""

import io
import tarfile
import threading

import pytest

from runners import artifacts
from runners.contract.job import Job, Outcome, Result
from runners.docker_engine import DockerEngine
from service.adapters.clock import SystemClock
from tests.integration.runners.conftest import Bench
from tests.integration.runners.hostile import BROKE, REPOSITORIES, Hostile

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("runtime", "shell_image", "compiler_image", "forger_image"),
]

MILD = {"main.py": b"import a\n", "a.py": b"A = 1\n", "data.txt": b"x\n"}
LIMITS = {"time_s": 20.0, "memory_bytes": 64 << 20, "disk_bytes": 16 << 20, "pids": 64}
PATIENCE_S = 25.0  # of a hostile job from start to end, its time limit of at most 4 s included
NEXT_S = 15.0  # of the mild job after it, on a machine that does other things, too


def limited(job: Job, limits: dict[str, float]) -> Job:
    known = job.to_json()
    return Job.from_json({**known, "limits": {**known["limits"], **LIMITS, **limits}})


def run(bench: Bench, hostile: Hostile) -> tuple[Result, str]:
    script = hostile.text.encode()
    job = limited(
        bench.job({"build.sh": b"exec bash ./evil.sh\n", "evil.sh": b"mkdir -p ../out\n" + script}), hostile.limits
    )
    return bench.run(job), bench.log(job)


@pytest.fixture(scope="module")
def expected(compiler_image: None) -> dict[str, bytes]:
    """What the mild repository comes to before anything hostile ran."""
    bench = Bench(DockerEngine.connect(now=SystemClock().now))
    try:
        return mild(bench)[1]
    finally:
        bench.engine.close()


def mild(bench: Bench) -> tuple[Result, dict[str, bytes]]:
    job = bench.job(MILD, family="compiler")
    result = bench.run(job)
    assert result.outcome is Outcome.SUCCEEDED, result
    return result, bench.files(job)


@pytest.mark.parametrize("name", REPOSITORIES)
def test_each_is_contained_and_named_and_the_next_job_is_unaffected(
    bench: Bench, runtime: str, expected: dict[str, bytes], name: str
) -> None:
    hostile = REPOSITORIES[name]

    result, log = run(bench, hostile)
    after, files = mild(bench)

    outcome, said = hostile.in_gvisor if runtime and hostile.in_gvisor else (hostile.outcome, hostile.said)
    assert result.outcome is outcome, (result, log[-2000:])
    assert said in result.message
    assert result.message.isprintable()
    assert result.artifacts == ()
    assert result.seconds < PATIENCE_S
    assert "reached" not in log
    assert len(log.encode()) <= Job.from_json(bench.job(MILD).to_json()).limits.log_bytes + 100
    assert files == expected
    assert after.seconds < NEXT_S


# -- what the compiler itself is given


@pytest.mark.parametrize(
    ("files", "outcome", "said"),
    [
        ({"main.py": b"", "a.py": b"x = " + b"(" * 100_000 + b")" * 100_000}, Outcome.FAILED, "MemoryError"),
        ({"main.py": b"", "a.py": b"x = (\n"}, Outcome.FAILED, "a.py line"),
        ({"main.py": b"", "$(touch ..).py": b""}, Outcome.REFUSED, "'$(touch ..).mpy' has characters other than"),
        ({"main.py": b"", "a\x1b[2J.py": b""}, Outcome.REFUSED, r"'a\x1b[2J.mpy' has characters other than"),
        ({"main.py": b"", "lib/../../x.py": b""}, Outcome.REFUSED, "which leads out of it"),
    ],
    ids=["nesting", "syntax", "substitution", "escape", "traversal"],
)
def test_a_repository_that_is_meant_for_the_compiler_stops_there(
    bench: Bench, expected: dict[str, bytes], files: dict[str, bytes], outcome: Outcome, said: str
) -> None:
    result = bench.run(limited(bench.job(files, family="compiler"), {}))

    assert result.outcome is outcome, result
    assert said in result.message
    assert result.message.isprintable()
    assert mild(bench)[1] == expected


def test_a_module_that_is_named_like_an_option_is_a_module(bench: Bench) -> None:
    job = bench.job({"main.py": b"", "-o.py": b"x = 1\n"}, family="compiler")

    assert bench.run(job).outcome is Outcome.SUCCEEDED
    assert set(bench.files(job)) == {"main.py", "-o.mpy"}


# -- archives that no tar would write: the build speaks for the first process of its container


def crafted(*members: tuple[str, bytes, str, bytes]) -> bytes:
    """name, type, link target, content"""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind, target, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(content)
            archive.addfile(member, io.BytesIO(content) if content else None)
    return packed.getvalue()


ARCHIVES = {
    "absolute": (crafted(("/etc/passwd", tarfile.REGTYPE, "", b"evil")), "is not relative and plain"),
    "upwards": (crafted(("../../evil", tarfile.REGTYPE, "", b"evil")), "is not relative and plain"),
    "through a link": (
        crafted(("d", tarfile.SYMTYPE, "/etc", b""), ("d/passwd", tarfile.REGTYPE, "", b"evil")),
        "'d' in the outputs is a symbolic link",
    ),
    "hard link": (crafted(("evil", tarfile.LNKTYPE, "/etc/shadow", b"")), "'evil' in the outputs is a hard link"),
    "device": (crafted(("evil", tarfile.CHRTYPE, "", b"")), "'evil' in the outputs is a device"),
    "twice": (crafted(("a", tarfile.REGTYPE, "", b"1"), ("a", tarfile.REGTYPE, "", b"2")), "'a' is twice"),
    "case": (crafted(("A", tarfile.REGTYPE, "", b"1"), ("a", tarfile.REGTYPE, "", b"2")), "upper and lower case"),
    "not a tar": (b"PK\x03\x04" + bytes(2000), "not a readable archive"),
    "agent": (crafted(("ota/verify.mpy", tarfile.REGTYPE, "", b"evil")), "belongs to Kiln's agent"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_row_7_an_archive_that_a_build_forges_is_refused_by_name(
    bench: Bench, expected: dict[str, bytes], name: str
) -> None:
    archive, said = ARCHIVES[name]
    script = b"printf 'started\\nexit=0 oom=0 blocks=9 inodes=9\\n'; cat /work/in/forged"
    job = limited(bench.job({"first.sh": script, "forged": archive}, family="forger"), {})

    result = bench.run(job)

    assert (result.outcome, result.artifacts) == (Outcome.REFUSED, ())
    assert said in result.message
    assert mild(bench)[1] == expected


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        ("", BROKE),
        ("started", BROKE),
        ("started\\nexit=0", BROKE),
        ("started\\nexit=0 oom=0 blocks=9 inodes=9\\n", (Outcome.REFUSED, "the outputs are not a readable archive")),
        ("started\\nexit=9999 oom=0 blocks=9 inodes=9\\n", BROKE),
        ("x" * 10_000, BROKE),
        ("started\\nexit=0 oom=0 blocks=999999999999999999 inodes=9\\n", BROKE),
    ],
)
def test_row_7_a_first_process_that_talks_nonsense_only_fails(
    bench: Bench, said: str, ends: tuple[Outcome, str]
) -> None:
    job = limited(bench.job({"first.sh": f"printf '{said}'; exit 0".encode()}, family="forger"), {})

    result = bench.run(job)

    assert (result.outcome, ends[1] in result.message) == (ends[0], True), result
    assert result.artifacts == ()


# -- other jobs

SEARCH = """
cd /
area=/work
printf 'the-other-%s' secret > $area/tmp/control
for each in /proc/[0-9]*/cmdline /proc/[0-9]*/environ $area/tmp /proc/[0-9]*/root$area /dev/shm /sys/fs/cgroup \\
  /proc/net/unix /proc/self/mountinfo
do
  grep -rsal -D skip 'the-other-secre[t]' "$each"
done
set -- /proc/[0-9]*
echo $#
exit 5
"""


def test_row_12_a_job_sees_nothing_of_another_that_runs_beside_it(bench: Bench) -> None:
    secret = b"mkdir -p ../out; echo the-other-secret > ../out/a; bash -c 'sleep 4; : the-other-secret'; exit 0"
    other = limited(bench.job({"build.sh": secret, "secret": b"the-other-secret"}), {})
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(bench.runner().run(other)))
    thread.start()
    hostile = limited(bench.job({"build.sh": SEARCH.encode()}), {})

    result = bench.runner().run(hostile)
    thread.join()

    *seen, processes = bench.log(hostile).split()
    assert seen  # what is to be found is found
    assert [each for each in seen if not each.endswith("/work/tmp/control")] == []
    assert int(processes) < 10  # its own
    assert result.outcome is Outcome.FAILED
    assert result.message.startswith("the build ended with exit code 5")
    assert found[0].outcome is Outcome.SUCCEEDED
    packed = bench.service.uploads[next(iter(other.uploads.values()))]
    assert artifacts.unpack(iter([packed]), other.limits) == {"a": b"the-other-secret\n"}


def test_row_18_files_named_like_signatures_are_files(bench: Bench) -> None:
    """What is signed, and what it is called, is made by the service from its own manifest: see test_build_flows."""
    names = {"main.py", "statement.json", "release.json", "files.tar", "KILN1", "sig"}
    job = bench.job(dict.fromkeys(names, b""), family="compiler")

    result = bench.run(job)

    assert [each.name for each in result.artifacts] == list(job.uploads)
    assert set(bench.files(job)) == names
