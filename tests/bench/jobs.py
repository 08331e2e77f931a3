"""What a job costs over its compiler: cold, warm, again; more files; and more jobs than processors.

The baselines make the same compilations in the same image by `docker run` and `docker exec`, which write nothing down.
"""

import pathlib
import statistics
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import docker

from tests.bench.field import HARDENED, IMAGE, Field, run_command, script, wait
from tests.bench.push import BOARDS

ROUNDS = 7
FILES = 20
SETTLE_S = 1.5  # until waiting containers are there again
MANY = (20, 100, 200)  # the last fills half of the smallest board's file system
BIG = 1000  # files of a repository, most of them for no board
PUSHES, AT_ONCE = 13, 4  # of four boards each: 52 jobs
SELDOM_S = 0.02  # between two looks where whole seconds are measured
UNIX = "unix"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        folder = pathlib.Path(name)
        with Field.open(folder / "cold", [UNIX], KILN_RUNNER_WARM="0") as field:
            cold = [one(field, number) for number in range(ROUNDS + 1)][1:]
        with Field.open(folder / "warm", [UNIX]) as field:
            warm = [one(field, number) for number in range(ROUNDS + 1)][1:]
            again = [repeat(field) for _ in range(ROUNDS)]
            rerun = [press(field) for _ in range(ROUNDS)]
            bare = [run(field) for _ in range(ROUNDS + 1)][1:]
            inside = [execute(field) for _ in range(ROUNDS + 1)][1:]
        report(cold, warm, (rerun, again), bare, inside)
        growth(folder)
        queue(folder)


def one(field: Field, number: int) -> tuple[float, float]:
    """Seconds from the delivery to the first byte of the log, and to the artifact."""
    field.write(FILES, f"{number} {uuid.uuid4()}")
    event = field.event(field.commit())
    time.sleep(SETTLE_S)
    began = time.monotonic()
    build = field.send(event)
    first = wait(lambda: field.has_log(build, UNIX))
    made = wait(lambda: field.has_artifact(build, UNIX))
    wait(lambda: field.released(build))
    return first - began, made - began


def repeat(field: Field) -> float:
    """Another commit with the same files."""
    event = field.event(field.commit())
    time.sleep(SETTLE_S / 5)
    began = time.monotonic()
    build = field.send(event)
    made = wait(lambda: field.has_artifact(build, UNIX))
    wait(lambda: field.released(build))
    if not field.ask("select 1 from jobs where build = ? and result like '%cached_from\": \"k%'", build):
        raise RuntimeError("it was built again")
    return made - began


def press(field: Field) -> float:
    """The same commit again: somebody presses "re-run"."""
    newest = field.kiln.call("/api/v1/builds")[0]["id"]
    time.sleep(SETTLE_S / 5)
    began = time.monotonic()
    build = int(str(field.kiln.call(f"/api/v1/builds/{newest}/rerun", {})["build"]).rsplit("/", 1)[1])
    made = wait(lambda: field.has_artifact(build, UNIX))
    wait(lambda: field.released(build))
    return made - began


def run(field: Field) -> tuple[float, float]:
    """Seconds of a bare `docker run`, and of the compiler in it."""
    began = time.monotonic()
    said = subprocess.run(run_command(field.work, "one", BOARDS[UNIX]), check=True, capture_output=True, text=True)
    return time.monotonic() - began, int(said.stdout) / 1e9


def execute(field: Field) -> tuple[float, float]:
    """The same by `docker exec` in a container that runs already."""
    name = f"kiln-bench-{uuid.uuid4().hex[:12]}"
    volume = f"--volume={field.work / 'src'}:/src:ro"
    options = ["-d", "--rm", f"--name={name}", *HARDENED, "--tmpfs=/tmp", volume, "--workdir=/src"]
    start = ["docker", "run", *options, "--entrypoint=/bin/sleep", IMAGE, "60"]
    subprocess.run(start, check=True, capture_output=True)
    try:
        began = time.monotonic()
        command = ["docker", "exec", name, "/bin/sh", "-c", script(field.work, BOARDS[UNIX])]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        return time.monotonic() - began, int(said.stdout) / 1e9
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)


def report(
    cold: list[tuple[float, float]],
    warm: list[tuple[float, float]],
    again: tuple[list[float], list[float]],
    bare: list[tuple[float, float]],
    inside: list[tuple[float, float]],
) -> None:
    compiler = statistics.median(each[1] for each in [*bare, *inside])
    print(f"one board, {FILES} files, median of {ROUNDS}; the compiler alone takes {1000 * compiler:.0f} ms")
    print("                               first log line   artifact   over the compiler")
    for name, times in (("Kiln, cold", cold), ("Kiln, warm", warm)):
        first, made = (statistics.median(each[part] for each in times) for part in (0, 1))
        print(f"  {name:<28} {1000 * first:8.0f} ms {1000 * made:11.0f} ms {1000 * (made - compiler):10.0f} ms")
    for name, times in (("bare docker run", bare), ("bare docker exec", inside)):
        whole = statistics.median(each[0] for each in times)
        print(f"  {name:<40} {1000 * whole:11.0f} ms {1000 * (whole - compiler):10.0f} ms")
    for name, seconds in zip(("the same commit again", "another commit, the same files"), again, strict=True):
        print(f"  Kiln, {name:<34} {1000 * statistics.median(seconds):11.0f} ms, without a container")
    print("goals: cold <= 450 ms and warm <= 150 ms over the compiler; the same source again <= 50 ms")


def growth(folder: pathlib.Path) -> None:
    print("\nfour boards, from the delivery to the signed release, against four bare docker run at once")
    for files in (*MANY, BIG):
        with Field.open(folder / f"grow-{files}", list(BOARDS)) as field:
            if files == BIG:
                field.exclude([f"m0{number}*" for number in range(2, 10)])
            ours, theirs = [], []
            for number in range(4):
                field.write(files, f"{number} {uuid.uuid4()}")
                event = field.event(field.commit())
                time.sleep(SETTLE_S)
                began = time.monotonic()
                build = field.send(event)
                ours.append(wait(lambda build=build: field.released(build)) - began)  # type: ignore[misc]
                theirs.append(together(field, list(BOARDS.items()), len(BOARDS)))
        mine, bare = statistics.median(ours[1:]), statistics.median(theirs[1:])
        what = f"{files} files" + (", 200 of them for the board" if files == BIG else "")
        print(f"  {what:<40} Kiln {mine:6.2f} s   bare {bare:6.2f} s   ratio {mine / bare:4.2f}")


def queue(folder: pathlib.Path) -> None:
    """Pushes to as many branches, all at once."""
    jobs = PUSHES * len(BOARDS)
    with Field.open(folder / "queue", list(BOARDS)) as field:
        events = []
        for number in range(PUSHES):
            field.write(FILES, f"{number} {uuid.uuid4()}")
            events.append(field.event(field.commit(f"b{number}"), f"b{number}"))
        time.sleep(SETTLE_S)
        began = time.monotonic()
        builds = [field.send(each) for each in events]
        wait(lambda: field.all_released(builds), every_s=SELDOM_S)
        ours = time.monotonic() - began
        bare = [(f"q{number}-{each}", arch) for number in range(PUSHES) for each, arch in BOARDS.items()]
        theirs, alike = together(field, bare, AT_ONCE), made_alike(field, bare, AT_ONCE)
    print(f"\n{jobs} jobs queued, {AT_ONCE} at once: Kiln {jobs / ours:.1f} a second; goal <= 1.2 times docker run")
    for name, seconds in (("docker run", theirs), ("containers made as Kiln's are", alike)):
        print(f"  bare {name:<30} {jobs / seconds:5.1f} a second, ratio {ours / seconds:4.2f}")


def together(field: Field, jobs: list[tuple[str, str]], at_once: int) -> float:
    """Seconds of bare containers, so many at once."""
    commands = [run_command(field.work, name, arch, field.skipped) for name, arch in jobs]
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda each: subprocess.run(each, check=True, capture_output=True), commands))
    return time.monotonic() - began


def made_alike(field: Field, jobs: list[tuple[str, str]], at_once: int) -> float:
    """The same by Docker's API, without the engine's part of the network, which `docker run` cannot leave out."""
    api = docker.from_env().api
    for name, arch in jobs:
        run_command(field.work, name, arch, field.skipped)  # writes the script
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda job: run_alike(api, field, job[0]), jobs))
    return time.monotonic() - began


def run_alike(api: docker.APIClient, field: Field, name: str) -> None:
    host = api.create_host_config(
        binds=[f"{field.work / 'src'}:/src:ro", f"{field.work.parent / f'{name}.sh'}:/script:ro"],
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        pids_limit=128,
        tmpfs={"/tmp": ""},
    )
    created = api.create_container(
        IMAGE,
        ["/script"],
        entrypoint="/bin/sh",
        user="65534:65534",
        working_dir="/src",
        network_disabled=True,
        host_config=host,
    )
    made = created["Id"]
    api.start(made)
    if api.wait(made)["StatusCode"]:
        raise RuntimeError("a bare container failed")
    api.remove_container(made, force=True)


if __name__ == "__main__":
    main()
