"""A download from start to end, against an engine and a service in memory: what a container says is not believed."""

import hashlib
import zlib

import pytest

from fetcher.pack import without_newlines
from runners.contract.dependencies import LockedFile
from runners.contract.download import Download, complaint_of_hosts, split_hosts
from runners.contract.job import ContractError, Outcome
from runners.contract.source import SOURCE_IMAGE
from runners.download import Downloader
from runners.engine import Image
from runners.recipes.snapshot import Snapshot
from runners.verdict import ENTRY
from tests.fakes.engine import InMemoryEngine, Printed, Program, spoken
from tests.fakes.fetch_service import InMemoryService

A, B = b"a = 1\n", b"b = 2\n"


def locked(path: str, content: bytes) -> LockedFile:
    digest = hashlib.sha256(content).hexdigest()
    return LockedFile(path=path, url=f"https://pi.example.org/{path}", sha256=digest, size_bytes=len(content))


DOWNLOAD = Download(
    id="dependencies-k1-1",
    files=(locked("lib/a.py", A), locked("lib/b.py", B)),
    upload_url="http://kiln/up",
    hosts=("pi.lan:8080",),
)


def downloader(service: InMemoryService, program: Program) -> Downloader:
    ticks = iter(range(1000))
    return Downloader(name="r", engine=InMemoryEngine(program), service=service, clock=lambda: float(next(ticks)))


def says(contents: bytes | None, *lines: str) -> Program:
    made = {"result": "\n".join(lines).encode()}
    if contents is not None:
        made["contents"] = without_newlines(zlib.compress(contents))
    return lambda _: Printed(output=spoken(made))


def test_what_was_fetched_is_packed_uploaded_and_named_by_its_digest() -> None:
    service, fed = InMemoryService(), []

    def program(tree: dict[str, bytes]) -> Printed:
        fed.append(tree)
        return says(A + B, "outcome=succeeded")(tree)

    result = downloader(service, program).run(DOWNLOAD)

    (packed,) = service.uploads.values()
    assert Snapshot.parse(packed).files == {"lib/a.py": A, "lib/b.py": B}
    assert (result.outcome, result.files, result.size_bytes) == (Outcome.SUCCEEDED, 2, len(packed))
    assert result.digest == hashlib.sha256(packed).hexdigest()
    assert fed[0]["in/orders"] == b"kind=files\ntime_s=120\nhosts=pi.lan:8080\n"
    assert fed[0]["in/files"].splitlines()[0].decode() == (
        f"6 {hashlib.sha256(A).hexdigest()} lib/a.py https://pi.example.org/lib/a.py"
    )


@pytest.mark.parametrize(
    ("program", "outcome", "said"),
    [
        (says(None, "outcome=refused", "message=it changed"), Outcome.REFUSED, "it changed"),
        (says(None, "outcome=error", "message=no route"), Outcome.ERROR, "no route"),
        (says(None), Outcome.ERROR, "ended without a result"),
        (says(None, "outcome=succeeded"), Outcome.REFUSED, "cut short"),
        (says(A, "outcome=succeeded"), Outcome.REFUSED, "lib/b.py is not the file that kiln.lock names"),
        (says(B + A, "outcome=succeeded"), Outcome.REFUSED, "lib/a.py is not the file that kiln.lock names"),
        (says(A + B + b"!", "outcome=succeeded"), Outcome.REFUSED, "more than the 12 bytes of kiln.lock"),
        (says(bytes(64 << 20), "outcome=succeeded"), Outcome.REFUSED, "more than the 12 bytes of kiln.lock"),
        (lambda _: Printed(log=b"Traceback: x", output=spoken({}, exit_code=1)), Outcome.ERROR, "Traceback: x"),
        (lambda _: Printed(output=spoken({}, blocks=0)), Outcome.REFUSED, "too large to be fetched"),
    ],
    ids=["refused", "error", "nothing", "no contents", "short", "mixed", "long", "bomb", "broken driver", "full"],
)
def test_whatever_a_container_says_has_an_outcome_and_a_sentence(program: Program, outcome: Outcome, said: str) -> None:
    service = InMemoryService()

    result = downloader(service, program).run(DOWNLOAD)

    assert (result.outcome, said in result.message) == (outcome, True), result
    assert service.uploads == {}


def test_an_image_of_another_version_of_kiln_is_named() -> None:
    work = downloader(InMemoryService(), says(A + B, "outcome=succeeded"))
    assert isinstance(work.engine, InMemoryEngine)
    old = {"kiln.family": "source", "kiln.fetcher": "2", **dict([ENTRY])}
    work.engine.images[SOURCE_IMAGE] = Image(name=SOURCE_IMAGE, digest="sha256:1", labels=old)

    result = work.run(DOWNLOAD)

    assert (result.outcome, "is of another version: make it with" in result.message) == (Outcome.ERROR, True)


# -- the contract


def test_a_download_survives_the_queue() -> None:
    assert Download.from_json(DOWNLOAD.to_json()) == DOWNLOAD


@pytest.mark.parametrize(
    "values",
    [
        {"id": "../x"},
        {"files": []},
        {"files": [{"path": "lib/a.py"}]},
        {"files": [{"path": "main.py", "url": "https://h/a", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "lib/a.py", "url": "file:///etc/passwd", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "lib/a.py", "url": "https://h/a b", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "lib/a.py", "url": "https://h/a\n6 x", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [DOWNLOAD.to_json()["files"][0]] * 513},
        {"hosts": ["http://x"]},
        {"hosts": ["a,b\nkind=git"]},
        {"hosts": ["a"] * 33},
        {"authorities": "x" * (257 << 10)},
        {"unknown": 1},
    ],
)
def test_what_is_no_download_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        Download.from_json({**DOWNLOAD.to_json(), **values})


def test_the_operators_hosts_are_read_with_commas_between_them() -> None:
    assert split_hosts(" PI.lan:8080, 10.0.0.7 ,,[fd00::1]:80") == ("pi.lan:8080", "10.0.0.7", "[fd00::1]:80")
    assert complaint_of_hosts(split_hosts("pi.lan:8080,10.0.0.7,[fd00::1]:80")) is None
    assert (
        complaint_of_hosts(("https://pi.lan",))
        == 'not a host, like "pi.example.org" or "10.0.0.7:8080": \'https://pi.lan\''
    )
