"""A fetch from start to end, against an engine and a service in memory: what a container says is not believed."""

import io
import tarfile
import zlib

import pytest
from hypothesis import given, strategies as st

from fetcher.pack import without_newlines
from runners import artifacts
from runners.contract.job import ContractError, Limits, Outcome
from runners.contract.source import SOURCE_IMAGE, Credential, Fetch, Fetched, SourceLimits, is_ref
from runners.engine import ContainerSpec, End, Image
from runners.errors import RefusedError
from runners.fetch import Fetcher, container_limits, orders
from runners.networked import inflate, with_newlines
from runners.recipes.micropython import MicroPython
from runners.verdict import ENTRY
from tests.fakes.engine import InMemoryEngine, Printed, Program, spoken
from tests.fakes.fetch_service import InMemoryService

FETCH = Fetch(
    id="source-k1-1",
    url="https://git.example.org/acme/blink.git",
    commit="c" * 40,
    ref="refs/heads/main",
    access_url="http://kiln/access?token=t",
    upload_url="http://kiln/up",
    limits=SourceLimits(snapshot_bytes=1 << 20),
)
SNAPSHOT = artifacts.pack({"main.py": b"x\n"})


def fetcher(service: InMemoryService, program: Program, **more: object) -> Fetcher:
    engine = InMemoryEngine(program)
    ticks = iter(range(1000))
    return Fetcher(name="r", engine=engine, service=service, clock=lambda: float(next(ticks)), **more)  # type: ignore[arg-type]  # whatever Fetcher takes


def packed(content: bytes) -> bytes:
    return without_newlines(zlib.compress(content))


def says(snapshot: bytes | None, *lines: str) -> Program:
    made = {"result": "\n".join(lines).encode()} | ({} if snapshot is None else {"snapshot": snapshot})
    return lambda _: Printed(output=spoken(made))


GOOD = says(packed(SNAPSHOT), "outcome=succeeded", "files=1", "bytes=10240")


def test_what_was_fetched_is_uploaded_and_named_by_its_digest() -> None:
    service = InMemoryService()
    work = fetcher(service, GOOD)

    result = work.run(FETCH)

    assert service.uploads == {"http://kiln/up": SNAPSHOT}
    assert (result.outcome, result.size_bytes, result.files, result.image, result.seconds) == (
        Outcome.SUCCEEDED,
        len(SNAPSHOT),
        1,
        "sha256:1",
        1.0,
    )
    assert work.engine.jobs("r") == set()


def test_the_credential_goes_in_by_standard_input_and_nowhere_else() -> None:
    fed: list[dict[str, bytes]] = []
    service = InMemoryService(credential=Credential(username="x-access-token", password="hunter2"))

    def program(tree: dict[str, bytes]) -> Printed:
        fed.append(tree)
        return Printed(output=spoken({"result": b"outcome=error\nmessage=no"}))

    result = fetcher(service, program).run(FETCH)

    assert b"username=x-access-token\npassword=hunter2\n" in fed[0]["in/orders"]
    assert "hunter2" not in str((result, FETCH, service.credential, FETCH.to_json()))


@pytest.mark.parametrize(
    ("program", "outcome", "said"),
    [
        (says(None, "outcome=refused", "message=too many files"), Outcome.REFUSED, "too many files"),
        (says(None, "outcome=error", "message=no route"), Outcome.ERROR, "no route"),
        (says(None, "outcome=refused", "message=\x1b[31mred\x07"), Outcome.REFUSED, " [31mred "),
        (says(None), Outcome.ERROR, "ended without a result"),
        (says(None, "outcome=succeeded"), Outcome.REFUSED, "cut short"),
        (says(b"rubbish", "outcome=succeeded"), Outcome.REFUSED, "cannot be read"),
        (says(packed(SNAPSHOT)[:-9], "outcome=succeeded"), Outcome.REFUSED, "cut short"),
        (says(packed(b"x" * 600), "outcome=succeeded"), Outcome.REFUSED, "not a readable archive"),
        (says(packed(bytes(2 << 20)), "outcome=succeeded"), Outcome.REFUSED, "more than 1 MiB of files"),
        (lambda _: Printed(log=b"Traceback: x", output=spoken({}, exit_code=1)), Outcome.ERROR, "Traceback: x"),
        (lambda _: Printed(output=spoken({}, blocks=0)), Outcome.REFUSED, "too large to be fetched"),
        (
            lambda _: Printed(end=End(exit_code=137, is_out_of_memory=True)),
            Outcome.REFUSED,
            "too large to be fetched",
        ),
    ],
    ids=[
        "refused",
        "error",
        "control characters",
        "nothing",
        "no snapshot",
        "rubbish",
        "cut",
        "no tar",
        "bomb",
        "broken driver",
        "full",
        "out of memory",
    ],
)
def test_whatever_a_container_says_has_an_outcome_and_a_sentence(program: Program, outcome: Outcome, said: str) -> None:
    service = InMemoryService()

    result = fetcher(service, program).run(FETCH)

    assert (result.outcome, said in result.message) == (outcome, True), result
    assert service.uploads == {}


def test_a_snapshot_that_leads_out_is_refused() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))

    result = fetcher(InMemoryService(), says(packed(made.getvalue()), "outcome=succeeded")).run(FETCH)

    assert (result.outcome, "leads out of it" in result.message) == (Outcome.REFUSED, True)


def test_a_cancelled_fetch_is_cancelled_and_not_a_failure() -> None:
    result = fetcher(InMemoryService(), says(None), is_cancelled=lambda _: True).run(FETCH)

    assert result.outcome is Outcome.CANCELLED


@pytest.mark.parametrize("answers", [[], [False]], ids=["before the container", "while it starts"])
def test_a_fetch_that_is_cancelled_before_its_container_works_asks_for_no_credential(answers: list[bool]) -> None:
    asked, service = iter(answers), InMemoryService()
    work = fetcher(service, GOOD, is_cancelled=lambda _: next(asked, True))

    assert work.run(FETCH).outcome is Outcome.CANCELLED
    assert service.asked == []
    assert work.engine.jobs("r") == set()


def test_without_its_image_nothing_is_asked_for() -> None:
    service = InMemoryService()
    work = fetcher(service, GOOD)
    assert isinstance(work.engine, InMemoryEngine)
    del work.engine.images[SOURCE_IMAGE]

    result = work.run(FETCH)

    assert result.outcome is Outcome.ERROR
    assert "build image kiln/source:current is missing" in result.message
    assert service.asked == []


def test_an_image_of_another_version_of_kiln_is_named() -> None:
    service = InMemoryService()
    work = fetcher(service, GOOD)
    assert isinstance(work.engine, InMemoryEngine)
    old = {"kiln.family": "source", **dict([ENTRY])}
    work.engine.images[SOURCE_IMAGE] = Image(name=SOURCE_IMAGE, digest="sha256:1", labels=old)

    result = work.run(FETCH)

    assert (result.outcome, "is of another version: make it with" in result.message) == (Outcome.ERROR, True)
    assert service.asked == []


def test_a_container_that_is_resumed_is_not_given_a_credential_again() -> None:
    service = InMemoryService()
    work = fetcher(service, GOOD)
    spec = ContainerSpec(
        job=FETCH.id, runner="r", image=SOURCE_IMAGE, limits=container_limits(FETCH.limits), has_network=True
    )
    work.engine.start(spec).feed(orders(FETCH, None))

    assert work.run(FETCH).outcome is Outcome.SUCCEEDED
    assert service.asked == []


def test_no_other_container_can_have_a_network() -> None:
    with pytest.raises(ValueError, match="only containers of kiln/source:current have a network"):
        ContainerSpec(job="j", runner="r", image=MicroPython.image, limits=Limits(), has_network=True)


def test_a_bomb_is_not_inflated() -> None:
    with pytest.raises(RefusedError, match="more than 1 MiB"):
        inflate(packed(bytes(64 << 20)), 1 << 20, too_large="more than 1 MiB")


@given(st.binary())
def test_newlines_go_out_and_come_back(content: bytes) -> None:
    sent = without_newlines(content)

    assert b"\n" not in sent
    assert with_newlines(sent) == content


# -- the contract


@pytest.mark.parametrize(
    ("said", "title"), [(["title=a = b"], "a = b"), ([], ""), (["title=" + "x" * 9999], "x" * 1000)]
)
def test_the_title_of_the_commit_comes_with_what_was_fetched(said: list[str], title: str) -> None:
    result = fetcher(InMemoryService(), says(packed(SNAPSHOT), "outcome=succeeded", *said)).run(FETCH)

    assert result.title == title


def test_a_fetch_and_its_result_survive_the_queue() -> None:
    result = Fetched(fetch=FETCH.id, outcome=Outcome.REFUSED, message="no")

    assert Fetch.from_json(FETCH.to_json()) == FETCH
    assert Fetched.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    "values",
    [
        {"url": "https://user:pw@git.example.org/x"},
        {"url": "file:///etc"},
        {"url": "ext::sh"},
        {"url": "https://git.example.org/a\nb"},
        {"commit": "--upload-pack=x"},
        {"commit": "c" * 39},
        {"ref": "--upload-pack=x"},
        {"ref": "refs/heads/a\nb"},
        {"ref": "refs/heads/../x"},
        {"ref": "refs/heads/a:refs/heads/b"},
        {"id": "../x"},
        {"authorities": "x" * (257 << 10)},
        {"unknown": 1},
        {"limits": {"files": 1, "more": 2}},
    ],
)
def test_what_is_no_fetch_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        Fetch.from_json({**FETCH.to_json(), **values})


def test_a_ref_that_people_use_is_a_ref() -> None:
    assert all(is_ref(each) for each in ("refs/heads/main", "refs/heads/feature/größe", "refs/pull/7/head", "HEAD"))
    assert not any(is_ref(each) for each in ("main", "refs/heads/a b", "refs/heads/a*", "+refs/heads/a", ""))


def test_a_credential_has_no_line_of_its_own_to_add() -> None:
    with pytest.raises(ContractError):
        Credential(username="x\nurl=https://evil.example/", password="")


def test_a_commit_without_files_is_refused_in_plain_words() -> None:
    made = io.BytesIO()  # as git-archive(1) has it: the commit's id as a comment, and nothing else
    tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 40}).close()
    service = InMemoryService()

    result = fetcher(service, says(packed(made.getvalue()), "outcome=succeeded")).run(FETCH)

    assert (result.outcome, result.message) == (Outcome.REFUSED, "the commit holds no files: there is nothing to build")
    assert service.uploads == {}
