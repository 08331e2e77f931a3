"""From [dependencies] of kiln.toml to a module that MicroPython imports: locked, fetched once, built offline."""

import io
import json
import pathlib
import subprocess
import sys
import tarfile
from collections.abc import Iterator

import pytest

from deploy.demo.parts import ROOT, clean_environment
from device.virtual.flash import tool
from runners.contract.dependencies import LOCK, Lock
from service.adapters.clock import SystemClock
from service.adapters.objects_local import LocalObjects
from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait
from tests.simulators.git_server import bridge_address
from tests.simulators.mip_index import MipIndex, mip_index

pytestmark = [pytest.mark.docker]

SIMPLE = b"class MQTTClient:\n    def __init__(self, name):\n        self.name = name\n"
ROBUST = b"from umqtt import simple\n\nclass MQTTClient(simple.MQTTClient):\n    TRIES = 3\n"
ASKS = "import sys; sys.path.insert(0, 'lib'); from umqtt.robust import MQTTClient as M; print(M('d1').name, M.TRIES)"


class Depending(Chain):
    """A repository that depends on packages of an index, and a Kiln of real processes."""

    def __init__(self, folder: pathlib.Path, index: MipIndex) -> None:
        super().__init__(folder)
        self.index = index
        self.hosts = f"{index.host}:{index.port}"
        self.kiln.settings["KILN_DEPENDENCY_HOSTS"] = self.hosts
        self.manifest = self.repository.work / "kiln.toml"
        self.plain = self.manifest.read_text()

    def depend(self, *lines: str, lock: bool = True) -> str:
        """Write [dependencies] and lock them, by the command that people use; answers what it printed."""
        self.manifest.write_text("\n".join((self.plain, "[dependencies]", *lines, "")))
        return self.run("lock", str(self.repository.work), "--index", self.index.index) if lock else ""

    def run(self, *words: str) -> str:
        own = {"KILN_DEPENDENCY_HOSTS": self.hosts, "XDG_CACHE_HOME": str(self.folder / "cache")}
        environment, command = {**clean_environment(), **own}, [sys.executable, "-m", "service", *words]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self, build: int, board: str = "unix") -> dict[str, bytes]:
        """What the board is given."""
        ((result,),) = self.ask("select result from jobs where build = ? and board = ?", build, board)
        (digest,) = (each["digest"] for each in json.loads(str(result))["artifacts"])
        objects = LocalObjects(self.kiln.data / "objects", base_url="", key=bytes(32), clock=SystemClock())
        with tarfile.open(fileobj=io.BytesIO(b"".join(objects.read(digest)))) as archive:
            return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]

    def failure(self, build: int) -> str:
        done = "select message from builds where id = ? and status = 'failed'"
        wait(lambda: self.ask(done, build) != [], "the build to fail", log=self.kiln.data / "service.log")
        return str(self.ask(done, build)[0][0])


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depending]:
    with mip_index(host=bridge_address()) as index:
        index.publish("umqtt.simple", "1.4.0", {"umqtt/simple.py": SIMPLE})
        index.publish("umqtt.robust", "1.0.2", {"umqtt/robust.py": ROBUST}, deps=[("umqtt.simple", "latest")])
        with running(Depending(tmp_path_factory.mktemp("chain"), index)) as chain:
            yield chain


def imports(folder: pathlib.Path, files: dict[str, bytes]) -> str:
    """What MicroPython says, with these files as its own."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    command = [tool("micropython"), "-c", ASKS]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_a_dependency_is_built_in_and_fetched_once_ever(chain: Depending, tmp_path: pathlib.Path) -> None:
    said = chain.depend('"umqtt.robust" = "1.0.2"')
    assert said.splitlines() == [
        "+ umqtt.robust 1.0.2",
        "+ umqtt.simple 1.4.0",
        f"kiln.lock: 2 packages, 2 files, {len(SIMPLE) + len(ROBUST)} bytes. Commit it.",
    ]
    before = len(chain.index.seen)

    first = chain.push()
    chain.expect_one_release(first)
    fetched = chain.index.seen[before:]
    second = chain.push()
    chain.expect_one_release(second)

    assert sorted(fetched) == sorted(path for path in chain.index.contents if "/file/" in path)
    assert chain.index.seen[before:] == fetched, "a lock was fetched again"
    files = chain.files(first)
    assert {"lib/umqtt/robust.mpy", "lib/umqtt/simple.mpy", "main.py", "blink.mpy"} <= set(files)
    assert {"lib/umqtt/robust.py", LOCK} & set(files) == set()
    assert b"lib/umqtt/robust.py" in files["lib/umqtt/robust.mpy"]  # the name that a traceback on the board will show
    assert imports(tmp_path, files) == "d1 3"
    assert {path: files[path] for path in files if "lib/" in path} == {
        path: data for path, data in chain.files(second).items() if "lib/" in path
    }
    assert chain.ask("select count(*) from dependencies") == [(1,)]


def test_the_same_folder_builds_locally_to_the_same_bytes_without_the_index(
    chain: Depending, tmp_path: pathlib.Path
) -> None:
    chain.depend('"umqtt.robust" = "1.0.2"')
    build = chain.push()
    chain.expect_one_release(build)
    for _ in range(2):
        chain.run("build", str(chain.repository.work), "--board", "unix", "--output", str(tmp_path))
        chain.index.statuses.update(dict.fromkeys(chain.index.contents, 503))
    chain.index.statuses.clear()

    with tarfile.open(tmp_path / "files.tar") as archive:
        local = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
    assert local == chain.files(build)


def test_a_lock_that_is_missing_or_of_something_else_fails_with_what_to_do(chain: Depending) -> None:
    chain.depend('"umqtt.robust" = "1.0.2"')
    chain.depend('"umqtt.robust" = "1.0.3"', lock=False)
    other = chain.failure(chain.push())
    (chain.repository.work / LOCK).unlink()
    missing = chain.failure(chain.push())

    assert other == "kiln.lock does not fit [dependencies] (umqtt.robust): run `kiln lock` and commit kiln.lock"
    assert missing == "kiln.toml has [dependencies], but there is no kiln.lock: run `kiln lock` and commit kiln.lock"


def test_a_file_that_changed_behind_the_lock_fails_with_its_address(chain: Depending) -> None:
    url = chain.index.lay("/files/clock.py", b"def now():\n    return 1\n")
    chain.depend(f'"{url}" = "latest"')
    chain.index.lay("/files/clock.py", b"def now():\n    return 2\n")

    said = chain.failure(chain.push())

    assert said.startswith(f"{url} is not the file that kiln.lock names, its SHA-256 differs: run `kiln lock`")


def test_a_mistake_in_a_dependency_is_said_with_its_file_and_line(chain: Depending) -> None:
    url = chain.index.lay("/files/broken.py", b"x = 1\ndef f(:\n")
    chain.depend(f'"{url}" = "latest"')

    assert "kiln.lock line 1: lib/broken.py line 2: SyntaxError" in chain.failure(chain.push())


def test_a_file_of_the_repository_and_one_of_a_package_are_both_named(chain: Depending) -> None:
    own = chain.repository.work / "src" / "lib" / "umqtt" / "simple.py"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine = True\n")
    chain.depend('"umqtt.simple" = "1.4.0"')
    try:
        said = chain.failure(chain.push())
    finally:
        own.unlink()

    assert "src/lib/umqtt/simple.py and lib/umqtt/simple.py of kiln.lock would be the same file on the board" in said


def test_an_index_in_trouble_is_asked_again_and_a_killed_service_goes_on(
    chain: Depending, tmp_path: pathlib.Path
) -> None:
    chain.index.publish("clock", "1", {"clock.py": b"def now():\n    return 1\n"})
    chain.depend('clock = "1"')
    (file,) = Lock.parse((chain.repository.work / LOCK).read_bytes()).files
    path = file.url.removeprefix(chain.index.url)
    chain.index.statuses[path] = 503
    steps = [("plan", "end"), ("dependencies", "begin"), ("dependencies", "end")]
    chain.kiln.kill("service")
    chain.kiln.service(until=(*steps[0], tmp_path / "killed-0"))

    build = chain.push()
    for number in range(1, len(steps) + 1):
        wait(lambda: chain.kiln.died("service"), f"the service to die at {steps[number - 1]}")
        if number < len(steps):
            chain.kiln.service(until=(*steps[number], tmp_path / f"killed-{number}"))
        else:
            chain.kiln.service()
        if number == 1:
            wait(
                lambda: chain.index.seen.count(path) > 2,
                "the fetch to be tried again",
                log=chain.kiln.data / "service.log",
            )
            chain.index.statuses.clear()

    chain.expect_one_release(build)
    assert "lib/clock.mpy" in chain.files(build)


def test_a_lock_whose_object_is_gone_is_fetched_again(chain: Depending) -> None:
    chain.depend('"umqtt.simple" = "1.4.0"')
    chain.expect_one_release(chain.push())
    lock = Lock.parse((chain.repository.work / LOCK).read_bytes()).digest
    ((digest,),) = chain.ask("select object_digest from dependencies where lock_digest = ?", lock)
    objects, before = chain.kiln.data / "objects" / "objects", len(chain.index.seen)
    (objects / str(digest)[:2] / str(digest)[2:]).unlink()

    chain.expect_one_release(chain.push())

    assert len(chain.index.seen) == before + 1
