"""Real Docker: a runner whose builds are shell scripts, in an image made from the MicroPython one."""

import hashlib
import pathlib
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from runners import artifacts, verdict
from runners.contract.job import FILES_ARTIFACT, Annotation, Job, Limits, Options, Result
from runners.docker_engine import DockerEngine
from runners.engine import Image
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import Made, Recipe, Staged, pack_tree
from runners.recipes.snapshot import Snapshot
from runners.run import RECIPES, Runner
from service.adapters.clock import SystemClock
from tests.fakes.runner_service import InMemoryService

SPEAKS = f"LABEL {'='.join(verdict.ENTRY)}\n"  # as the checkout's first process does
COMPILER = f"""FROM {MicroPython.image}
COPY entry /opt/kiln/
{SPEAKS}"""
ENTRY = (pathlib.Path(__file__).parents[3] / "build-images" / "entry").read_bytes()
SHELL = f"""FROM {MicroPython.image}
USER 0
COPY entry /opt/kiln/
RUN printf '#!/bin/sh\\nexec sh ./build.sh\\n' > /opt/kiln/recipe
USER 65534:65534
{SPEAKS}"""
# Named by what goes into it, so that two checkouts on one machine do not take each other's.
SHELL_IMAGE = f"kiln/test-shell:{hashlib.sha256(ENTRY + SHELL.encode()).hexdigest()[:12]}"
# In which a repository has taken over even the first process.
FORGER = f"""FROM {MicroPython.image}
USER 0
RUN printf '#!/bin/sh\\ntar -C /work -x -o -f - && . /work/in/first.sh\\n' > /opt/kiln/entry
USER 65534:65534
{SPEAKS}"""
FORGER_IMAGE = f"kiln/test-forger:{hashlib.sha256(FORGER.encode()).hexdigest()[:12]}"
COMPILER_IMAGE = f"kiln/test-micropython:{hashlib.sha256(ENTRY + COMPILER.encode()).hexdigest()[:12]}"


class Compiler(MicroPython):
    """The recipe of MicroPython, with the first process of this checkout."""

    image = COMPILER_IMAGE


class Forger(MicroPython):
    """A recipe in whose container `first.sh` speaks for the first process."""

    image = FORGER_IMAGE

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        return Shell().stage(job, snapshot, image)

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        return Shell().made(job, files)


class Shell:
    """A recipe that runs whatever `build.sh` says: what a hostile repository would do with a compiler's hole."""

    image = SHELL_IMAGE
    runs_programs = False  # so that it gets the container that a compiler gets

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        files = {f"in/{path}": content or b"" for path, content in snapshot.files.items()}
        return Staged(tree=pack_tree(files, ()), origins={})

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        return ()

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        artifacts.check_paths(files)
        return Made(artifacts={FILES_ARTIFACT: artifacts.pack(files)})


class Program(Shell):
    """The same in the container of a family whose builds run what the repository says."""

    runs_programs = True


@dataclass
class Bench:
    """A runner on real Docker, its service in memory."""

    engine: DockerEngine
    service: InMemoryService = field(default_factory=InMemoryService)
    name: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    def job(self, files: Mapping[str, bytes], *, family: str = "shell", options: Options | None = None) -> Job:
        identity = f"{self.name}-{uuid.uuid4().hex[:6]}"
        return Job(
            id=identity,
            board="unix",
            family=family,
            commit="c" * 40,
            source=self.service.offer(artifacts.pack(files)),
            uploads={FILES_ARTIFACT: f"/{identity}"},
            log_url=f"/{identity}/log",
            options=options or Options(),
        )

    def runner(self) -> Runner:
        ours: dict[str, Recipe] = {"shell": Shell(), "program": Program(), "compiler": Compiler(), "forger": Forger()}
        recipes = {**RECIPES, **ours}
        return Runner(name=self.name, engine=self.engine, service=self.service, clock=time.monotonic, recipes=recipes)

    def run(self, job: Job) -> Result:
        result = self.runner().run(job)
        assert self.engine.jobs(self.name) == set(), "a container was left behind"
        return result

    def log(self, job: Job) -> str:
        return self.service.logs[job.log_url].content.decode("utf-8", "replace")

    def files(self, job: Job) -> dict[str, bytes]:
        packed = self.service.uploads[job.uploads[FILES_ARTIFACT]]
        return artifacts.unpack(iter([packed]), Limits())


Script = Callable[..., tuple[Result, str]]


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    chosen = request.getfixturevalue("runtime") if "runtime" in request.fixturenames else ""
    made = Bench(DockerEngine.connect(now=SystemClock().now, runtime=chosen))
    yield made
    for job in made.engine.jobs(made.name):
        made.engine.remove(job)
    made.engine.close()


@pytest.fixture(scope="session")
def shell_image(tmp_path_factory: pytest.TempPathFactory) -> None:
    build(tmp_path_factory.mktemp("shell-image"), SHELL, SHELL_IMAGE)


@pytest.fixture(scope="session")
def compiler_image(tmp_path_factory: pytest.TempPathFactory) -> None:
    build(tmp_path_factory.mktemp("compiler-image"), COMPILER, COMPILER_IMAGE)


@pytest.fixture(scope="session")
def forger_image(tmp_path_factory: pytest.TempPathFactory) -> None:
    build(tmp_path_factory.mktemp("forger-image"), FORGER, FORGER_IMAGE)


def build(folder: pathlib.Path, dockerfile: str, tag: str) -> None:
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "entry").write_bytes(ENTRY)
    (folder / "entry").chmod(0o755)
    command = ["docker", "build", "-q", "--network", "none", "-t", tag, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60, env={"DOCKER_BUILDKIT": "0", "PATH": PATH})


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def script(bench: Bench, shell_image: None) -> Script:
    """Run a shell script as a build; answers result and log."""

    def run(text: str, *, family: str = "shell", **limits: float) -> tuple[Result, str]:
        job = bench.job({"build.sh": text.encode()}, family=family)
        values = {"time_s": 20.0, "memory_bytes": 64 << 20, "disk_bytes": 16 << 20, **limits}
        whole = Job.from_json({**job.to_json(), "limits": {**job.to_json()["limits"], **values}})
        return bench.run(whole), bench.log(whole)

    return run


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
