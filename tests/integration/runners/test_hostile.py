"""Hostile repositories, one after another (rows 7, 10 and 17): each is contained and named, the next job is unaffected.

By the real recipe and its compiler where they have a say, else by a shell script in their place: what a repository
could do that had found a hole in the compiler. With the engine's own runtime and with gVisor.
"""

import io
import tarfile
import threading
from dataclasses import dataclass, field

import pytest

from runners import artifacts
from runners.contract.job import Job, Outcome, Result
from runners.docker_engine import DockerEngine
from service.adapters.clock import SystemClock
from tests.integration.runners.conftest import Bench

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("runtime", "shell_image", "compiler_image", "forger_image"),
]

MILD = {"main.py": b"import a\n", "a.py": b"A = 1\n", "data.txt": b"x\n"}
LIMITS = {"time_s": 20.0, "memory_bytes": 64 << 20, "disk_bytes": 16 << 20, "pids": 64}
PATIENCE_S = 25.0  # of a hostile job from start to end, its time limit of at most 4 s included
NEXT_S = 15.0  # of the mild job after it, on a machine that does other things, too


@dataclass(frozen=True, slots=True)
class Hostile:
    """A repository and what has to become of it."""

    text: str  # of a shell script in the compiler's place
    outcomes: set[Outcome]
    said: str = ""
    limits: dict[str, float] = field(default_factory=dict)


REPOSITORIES = {
    "fork bomb": Hostile(
        "b() { b | b & }; b; sleep 60", {Outcome.TIMED_OUT, Outcome.FAILED, Outcome.OUT_OF_MEMORY}, "", {"time_s": 3.0}
    ),
    "fork bomb that asks for nothing but processes": Hostile(
        "while :; do sleep 60 & done", {Outcome.TIMED_OUT, Outcome.FAILED, Outcome.OUT_OF_MEMORY}, "", {"time_s": 4.0}
    ),
    "memory bomb": Hostile(
        "head -c 900m /dev/zero | tail",
        {Outcome.OUT_OF_MEMORY},
        "out of memory: the build needs more than 64 MiB",
    ),
    "memory bomb in the work area": Hostile(
        "head -c 900m /dev/zero > big", {Outcome.OUT_OF_MEMORY}, "out of memory", {"disk_bytes": 1 << 30}
    ),
    "disk filler": Hostile(
        "while :; do head -c 1m /dev/zero >> big || break; done",
        {Outcome.DISK_FULL},
        "disk full: the build needs more than 16 MiB of work area",
    ),
    "disk filler behind a deleted name": Hostile(
        "exec 3> big; rm big; head -c 900m /dev/zero >&3; exit 1", {Outcome.DISK_FULL}, "disk full"
    ),
    "endless loop": Hostile(
        "trap '' TERM INT HUP; while :; do :; done", {Outcome.TIMED_OUT}, "still running after 2 s", {"time_s": 2.0}
    ),
    "endless sleep with children that hold the log": Hostile(
        "sleep 1000 & sleep 1000 & exec sleep 1000", {Outcome.TIMED_OUT}, "still running after 2 s", {"time_s": 2.0}
    ),
    "stopped for good": Hostile("kill -STOP $$", {Outcome.TIMED_OUT}, "still running after 2 s", {"time_s": 2.0}),
    "symbolic link out": Hostile(
        "ln -s /etc/passwd ../out/evil", {Outcome.REFUSED}, "'evil' in the outputs is a symbolic link"
    ),
    "outputs that are a symbolic link": Hostile(
        "rm -rf ../out; ln -s /proc ../out", {Outcome.REFUSED, Outcome.FAILED}, "", {"output_bytes": 100_000}
    ),
    "hard link out": Hostile(
        "echo 1 > ../out/a; ln ../out/a ../out/b; ln /etc/passwd ../out/c; true",
        {Outcome.REFUSED},
        "in the outputs is a hard link",
    ),
    "named pipe": Hostile("mkfifo ../out/evil", {Outcome.REFUSED}, "'evil' in the outputs is a named pipe"),
    "device": Hostile(
        "mknod ../out/evil b 8 0", {Outcome.FAILED, Outcome.REFUSED}, ""
    ),
    "sparse bomb": Hostile("truncate -s 1T ../out/evil || truncate -s 5G ../out/evil", {Outcome.REFUSED}, "larger"),
    "names with control characters": Hostile(
        "echo 1 > \"../out/$(printf 'a\\033[2Jb')\"", {Outcome.REFUSED}, "is not relative and plain"
    ),
    "killer of its supervisor": Hostile("kill -9 -1; kill -9 1", {Outcome.FAILED}, ""),
    "a hundred megabytes in one line": Hostile(
        "head -c 100m /dev/zero | tr '\\0' x; exit 7", {Outcome.FAILED}, "exit code 7: [kiln: log cut"
    ),
    "markup and escapes": Hostile(
        r"printf '<script>alert(1)</script>\033]0;owned\a\033]52;c;ZXZpbA==\a\033[2J\rpassed\000'; exit 3",
        {Outcome.FAILED},
        "the build ended with exit code 3: ",
    ),
    "a forged mark and a forged end": Hostile(
        r"printf '[kiln: log cut at 10 bytes]\nstarted\nexit=0 oom=0 blocks=9 inodes=9\n'; exit 3",
        {Outcome.FAILED},
        "the build ended with exit code 3: exit=0",
    ),
    "every address of the network": Hostile(
        """
        for host in 127.0.0.1 172.17.0.1 169.254.169.254 100.100.100.200 168.63.129.16 8.8.8.8 1.1.1.1; do
          for port in 22 53 80 443 2375 8080; do (: > /dev/tcp/$host/$port) && echo reached $host $port; done
        done 2> /dev/null
        for n in $(seq 1 20); do (: > /dev/tcp/172.17.0.$n/22) && echo reached $n; done 2> /dev/null
        cat < /dev/udp/127.0.0.11/53 & sleep 0.2
        exit 4
        """,
        {Outcome.FAILED},
        "the build ended with exit code 4",
    ),
}  # fmt: skip


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

    assert result.outcome in hostile.outcomes, (result, log[-2000:])
    assert hostile.said in result.message
    assert result.message.isprintable()
    if name.startswith("fork bomb") and result.outcome is Outcome.TIMED_OUT:
        assert result.message.endswith("(no more than 64 processes may run at once)") or runtime
    assert result.artifacts == ()
    assert result.seconds < PATIENCE_S
    assert "reached" not in log
    assert len(log.encode()) <= Job.from_json(bench.job(MILD).to_json()).limits.log_bytes + 100
    assert files == expected
    assert after.seconds < NEXT_S


# -- what the compiler itself is given


@pytest.mark.parametrize(
    ("files", "outcomes", "said"),
    [
        ({"main.py": b"", "a.py": b"x = " + b"(" * 100_000 + b")" * 100_000}, {Outcome.FAILED}, ""),
        ({"main.py": b"", "a.py": b"x = (\n"}, {Outcome.FAILED}, "a.py line"),
        ({"main.py": b"", "-o.py": b"x = 1\n"}, {Outcome.REFUSED, Outcome.SUCCEEDED}, ""),
        ({"main.py": b"", "$(touch ..).py": b""}, {Outcome.REFUSED}, "'$(touch ..).mpy' has characters other than"),
        ({"main.py": b"", "a\x1b[2J.py": b""}, {Outcome.REFUSED}, ""),
        ({"main.py": b"", "lib/../../x.py": b""}, {Outcome.REFUSED}, ""),
    ],
    ids=["nesting", "syntax", "option", "substitution", "escape", "traversal"],
)
def test_a_repository_that_is_meant_for_the_compiler_stops_there(
    bench: Bench, expected: dict[str, bytes], files: dict[str, bytes], outcomes: set[Outcome], said: str
) -> None:

    result = bench.run(limited(bench.job(files, family="compiler"), {}))

    assert result.outcome in outcomes, result
    assert said in result.message
    assert result.message.isprintable()
    assert mild(bench)[1] == expected


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
    "said",
    [
        "",
        "started",
        "started\\nexit=0",
        "started\\nexit=0 oom=0 blocks=9 inodes=9\\n",
        "started\\nexit=9999 oom=0 blocks=9 inodes=9\\n",
        "x" * 10_000,
        "started\\nexit=0 oom=0 blocks=999999999999999999 inodes=9\\n",
    ],
)
def test_row_7_a_first_process_that_talks_nonsense_only_fails(bench: Bench, said: str) -> None:
    job = limited(bench.job({"first.sh": f"printf '{said}'; exit 0".encode()}, family="forger"), {})

    result = bench.run(job)

    assert result.outcome in {Outcome.FAILED, Outcome.REFUSED}
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
    files = {
        "main.py": b"",
        "statement.json": b"{}",
        "release.json": b"{}",
        "files.tar": b"x",
        "KILN1": b"x",
        "sig": b"x",
    }
    job = bench.job(files, family="compiler")

    result = bench.run(job)

    assert [each.name for each in result.artifacts] == list(job.uploads)
    assert set(bench.files(job)) == {"main.py", *files} - {""} - (
        {"main.py"} if "main.mpy" in bench.files(job) else set()
    )
