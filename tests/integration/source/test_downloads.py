"""The files of a lock, fetched by a real container from a real HTTP server."""

import hashlib
import pathlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from runners.contract.dependencies import LockedFile
from runners.contract.download import Download
from runners.contract.job import Outcome
from runners.contract.source import Fetched
from runners.docker_engine import DockerEngine
from runners.download import Downloader
from runners.recipes.snapshot import Snapshot
from service.adapters.clock import SystemClock
from tests.fakes.fetch_service import InMemoryService
from tests.simulators.certificates import certificates
from tests.simulators.git_server import bridge_address
from tests.simulators.mip_index import MipIndex, mip_index

pytestmark = [pytest.mark.docker]

SIMPLE = b"class MQTTClient:\n    pass\n"
ROBUST = b"from . import simple\n"


@dataclass
class Depot:
    """An index on the bridge, and a runner that fetches from it in real containers."""

    index: MipIndex
    engine: DockerEngine
    service: InMemoryService = field(default_factory=InMemoryService)
    name: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    def file(self, path: str, content: bytes, *, at: str = "") -> LockedFile:
        """One that is there, as a lock names it."""
        place = at or f"/files/{path}"
        self.index.contents[place] = content
        return locked(path, content, f"{self.index.url}{place}")

    def download(self, *files: LockedFile, **more: object) -> Download:
        identity = f"{self.name}-{uuid.uuid4().hex[:6]}"
        hosts = (f"{self.index.host}:{self.index.port}",)
        made = Download(id=identity, files=files, upload_url=f"/{identity}", hosts=hosts, time_s=30)
        return replace(made, **more)  # type: ignore[arg-type]  # whatever `Download` takes

    def run(self, download: Download) -> Fetched:
        downloader = Downloader(name=self.name, engine=self.engine, service=self.service, clock=time.monotonic)
        result = downloader.run(download)
        assert self.engine.jobs(self.name) == set(), "a container was left behind"
        assert result.outcome is Outcome.SUCCEEDED or self.service.uploads == {}
        return result

    def refusal(self, *files: LockedFile, **more: object) -> str:
        result = self.run(self.download(*files, **more))
        assert result.outcome is Outcome.REFUSED, result
        return result.message

    def files(self, result: Fetched) -> dict[str, bytes | None]:
        assert result.outcome is Outcome.SUCCEEDED, result
        (content,) = self.service.uploads.values()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (result.digest, result.size_bytes)
        return Snapshot.parse(content).files


def locked(path: str, content: bytes, url: str) -> LockedFile:
    return LockedFile(path=path, url=url, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


@pytest.fixture
def depot() -> Iterator[Depot]:
    engine = DockerEngine.connect(now=SystemClock().now)
    with mip_index(host=bridge_address()) as index:
        made = Depot(index, engine)
        yield made
    for job in engine.jobs(made.name):
        engine.remove(job)
    engine.close()


def test_exactly_the_files_of_the_lock_are_fetched_and_packed_the_same_way_each_time(depot: Depot) -> None:
    noise = bytes(range(256)) * 40 + b"\1\2\3\n\n\1"
    files = [
        depot.file("lib/umqtt/simple.py", SIMPLE),
        depot.file("lib/umqtt/robust.py", ROBUST),
        depot.file("lib/empty.py", b""),
        depot.file("lib/font.bin", noise),
    ]

    result = depot.run(depot.download(*files))
    again = depot.run(replace(depot.download(*files), upload_url=result.fetch))

    assert (result.files, again.digest) == (4, result.digest)
    assert set(depot.service.uploads.values()) == {depot.service.uploads[result.fetch]}
    assert Snapshot.parse(depot.service.uploads[result.fetch]).files == {
        "lib/umqtt/simple.py": SIMPLE,
        "lib/umqtt/robust.py": ROBUST,
        "lib/empty.py": b"",
        "lib/font.bin": noise,
    }
    assert result.image.startswith("sha256:")


def test_five_hundred_files_come_in_seconds(depot: Depot) -> None:
    files = [depot.file(f"lib/m{number}.py", b"x = %d\n" % number) for number in range(512)]

    result = depot.run(depot.download(*files))

    assert len(depot.files(result)) == 512
    assert result.seconds < 20


def test_a_file_that_changed_is_refused(depot: Depot) -> None:
    file = depot.file("lib/a.py", b"x = 1\n")
    depot.file("lib/a.py", b"x = 2\n")

    assert depot.refusal(file) == (
        f"{file.url} is not the file that kiln.lock names, its SHA-256 differs: "
        "run `kiln lock`, look at what changed, and commit kiln.lock"
    )


@pytest.mark.parametrize(
    ("content", "said"), [(b"x = 10\n", "has more than the 6 bytes"), (b"x=1\n", "has 4 bytes, not")]
)
def test_a_file_of_another_size_is_refused(depot: Depot, content: bytes, said: str) -> None:
    file = depot.file("lib/a.py", b"x = 1\n")
    depot.file("lib/a.py", content)

    assert said in depot.refusal(file)


def test_a_body_without_end_costs_no_more_than_the_file(depot: Depot) -> None:
    file = depot.file("lib/a.py", b"x = 1\n")
    depot.index.endless.add("/files/lib/a.py")

    began = time.monotonic()
    assert "has more than the 6 bytes of kiln.lock" in depot.refusal(file)
    assert time.monotonic() - began < 60  # with a container to start


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(depot: Depot) -> None:
    file = depot.file("lib/a.py", b"x" * 10_000)
    depot.index.slow.add("/files/lib/a.py")

    result = depot.run(depot.download(file, time_s=2))

    assert (result.outcome, result.message) == (Outcome.ERROR, f"{file.url} was not fetched in time")
    assert result.seconds < 10


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:8080/",
        "file:///etc/passwd",
        "/files/lib/other.py",
    ],
)
def test_a_redirect_is_not_followed_wherever_it_leads(depot: Depot, target: str) -> None:
    file = depot.file("lib/a.py", b"x = 1\n")
    depot.index.redirects["/files/lib/a.py"] = target

    assert depot.refusal(file) == f"{file.url} redirects to {target}, which is not followed: use the address itself"
    assert depot.index.seen == ["/files/lib/a.py"]


@pytest.mark.parametrize(
    ("url", "host", "said"),
    [
        ("http://169.254.169.254/latest/meta-data/iam", "169.254.169.254", "a link-local address"),
        ("http://[fd00:ec2::254]/x", "[fd00:ec2::254]", "a cloud's metadata service"),
        ("http://127.0.0.1/x", "127.0.0.1", "this very machine"),
        ("http://[::ffff:7f00:1]/x", "[::ffff:7f00:1]", "this very machine"),
        ("https://10.1.2.3/x", "", "a private address"),
        ("https://192.168.1.1/x", "", "a private address"),
        ("https://[fd12::1]/x", "", "a private address"),
    ],
)
def test_addresses_of_other_machines_are_not_asked(depot: Depot, url: str, host: str, said: str) -> None:
    """Those of the operator's own network only when they are named; a cloud's and this machine's not even then."""
    assert f"which is {said}" in depot.refusal(locked("lib/a.py", b"", url), hosts=(host,) if host else ())


def test_a_host_that_is_not_named_must_speak_https_and_be_public(depot: Depot) -> None:
    file = depot.file("lib/a.py", b"x = 1\n")

    assert "KILN_DEPENDENCY_HOSTS" in depot.refusal(file, hosts=())
    assert "KILN_DEPENDENCY_HOSTS" in depot.refusal(file, hosts=(f"{depot.index.host}:1",))
    assert depot.index.seen == []


def test_an_index_with_certificates_of_its_own_is_believed_when_the_operator_says_so(
    depot: Depot, tmp_path: pathlib.Path
) -> None:
    authority = certificates(tmp_path, bridge_address())
    with mip_index(host=bridge_address(), certificates=tmp_path) as index:
        secure = Depot(index, depot.engine)
        file = secure.file("lib/a.py", SIMPLE)

        refused = secure.run(secure.download(file))
        result = secure.run(secure.download(file, authorities=authority))

    assert (refused.outcome, "is not trusted: KILN_SOURCE_CA" in refused.message) == (Outcome.REFUSED, True)
    assert secure.files(result) == {"lib/a.py": SIMPLE}


@pytest.mark.parametrize(
    ("status", "outcome", "said"),
    [
        (404, Outcome.REFUSED, "there is nothing at "),
        (403, Outcome.REFUSED, "status 403"),
        (429, Outcome.ERROR, "status 429"),
        (503, Outcome.ERROR, "status 503"),
    ],
)
def test_a_status_is_the_locks_fault_or_passes(depot: Depot, status: int, outcome: Outcome, said: str) -> None:
    file = depot.file("lib/a.py", b"x = 1\n")
    depot.index.statuses["/files/lib/a.py"] = status

    result = depot.run(depot.download(file))

    assert (result.outcome, said in result.message) == (outcome, True), result


def test_a_server_that_hangs_up_in_the_middle_is_worth_another_try(depot: Depot) -> None:
    file = depot.file("lib/a.py", b"x" * 1000)
    depot.index.hangs_up.add("/files/lib/a.py")

    result = depot.run(depot.download(file))

    assert (result.outcome, file.url in result.message) == (Outcome.ERROR, True), result


def test_nobody_there_and_no_such_name_are_worth_another_try(depot: Depot) -> None:
    away = depot.run(
        depot.download(locked("lib/a.py", b"", f"http://{depot.index.host}:9/a.py"), hosts=(depot.index.host,))
    )
    nameless = depot.run(depot.download(locked("lib/a.py", b"", "https://nowhere.invalid/a.py")))

    assert (away.outcome, "cannot be read" in away.message) == (Outcome.ERROR, True), away
    assert (nameless.outcome, "nowhere.invalid does not resolve" in nameless.message) == (Outcome.ERROR, True)
