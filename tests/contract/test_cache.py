"""What runners may take over from earlier builds, at the door and in the database (second list: rows 8, 9, 12)."""

import asyncio
import pathlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from runners.contract import cache
from runners.contract.job import FILES_ARTIFACT, Artifact, Outcome, Result
from service.domain.build import Build, BuildJob, Delivery, JobId
from service.domain.event import Event, EventKind, Request
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows import publish
from service.flows.plan import staging_key
from service.web.cache import CACHE_PURPOSE
from service.web.jobs import LOG_PURPOSE
from tests.fakes.asgi import Reply, ask
from tests.fakes.site import Site

KEY = "a" * 64
OURS, THEIRS = RepositoryId("local/acme/blink"), RepositoryId("local/other/blink")


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    for name in (OURS, THEIRS):
        path = name.removeprefix("local/")
        repository = Repository(id=name, forge=Forge.LOCAL, path=path, url="file:///x", secret="s" * 20)
        made.kiln.repositories.add(repository)
    yield made
    made.kiln.builds.close()
    made.kiln.engine.dispose()


def built(site: Site, number: int, *, of: RepositoryId = OURS, kind: EventKind = EventKind.PUSH) -> JobId:
    """A job that has not ended."""
    request = Request(number=number, is_fork=True) if kind is EventKind.REQUEST else None
    ref = f"refs/pull/{number}/head" if request else "refs/heads/main"
    event = Event(kind=kind, delivery=f"d{number}", path="x", ref=ref, commit=f"{number:040x}", request=request)
    taken = site.kiln.builds.accept([Delivery(repository=of, event=event)], now=site.kiln.clock.now())[0]
    assert taken.build is not None
    job = JobId(f"k1-{taken.build}-unix")
    site.kiln.builds.add_jobs(taken.build, [BuildJob(id=job, build=taken.build, board="unix", family="micropython")])
    return job


def ended(site: Site, job: JobId, content: bytes = b"files", outcome: Outcome = Outcome.SUCCEEDED) -> Result:
    stored = site.kiln.objects.put([content])
    made = Artifact(name=FILES_ARTIFACT, digest=stored.digest, size_bytes=stored.size_bytes)
    result = Result(job=job, outcome=outcome, artifacts=(made,), cache_key=KEY)
    site.kiln.builds.end_job(job, result)
    return result


def look_up(site: Site, job: JobId, *, key: str = KEY, purpose: str = CACHE_PURPOSE, of: JobId | None = None) -> Reply:
    token = site.kiln.tokens.issue(purpose, of or job, expires_s=60)
    return asyncio.run(ask(site.app, "POST", f"/runner/v1/jobs/{job}/cache?token={token}", body=key.encode()))


def test_a_result_is_found_by_a_later_job_of_the_same_repository(site: Site) -> None:
    first = ended(site, built(site, 1))
    second = built(site, 2)

    reply = look_up(site, second)

    assert reply.status == 200
    assert cache.taken(reply.fields, job=second) == replace(first, job=second, cache_key="", cached_from=first.job)
    assert look_up(site, second, key="b" * 64).status == 204


def test_row_9_a_request_from_a_fork_reads_and_never_writes(site: Site) -> None:
    fork = built(site, 1, kind=EventKind.REQUEST)
    ended(site, fork, b"poison")
    ours = built(site, 2)

    assert look_up(site, ours).status == 204

    good = ended(site, ours, b"good")
    other_fork = built(site, 3, kind=EventKind.REQUEST)
    assert cache.taken(look_up(site, other_fork).fields, job=other_fork).artifacts == good.artifacts


def test_row_9_another_repository_finds_nothing(site: Site) -> None:
    ended(site, built(site, 1, of=THEIRS))

    assert look_up(site, built(site, 2)).status == 204


def test_what_failed_is_not_kept(site: Site) -> None:
    ended(site, built(site, 1), outcome=Outcome.FAILED)

    assert look_up(site, built(site, 2)).status == 204


def test_a_result_whose_artifact_is_gone_is_not_found(site: Site, tmp_path: pathlib.Path) -> None:
    digest = ended(site, built(site, 1)).artifacts[0].digest
    [path] = [each for each in (tmp_path / "objects").rglob("*") if each.name == digest[2:]]
    path.unlink()

    assert look_up(site, built(site, 2)).status == 204


def test_a_result_is_taken_over_whatever_an_earlier_try_had_uploaded(site: Site) -> None:
    kept = ended(site, built(site, 1))
    second = built(site, 2)
    with site.kiln.objects.receive(staging_key(second, FILES_ARTIFACT), max_bytes=100) as upload:  # type: ignore[attr-defined]
        upload.write(b"of a try that died")
        upload.keep()
    result = replace(kept, job=second, cached_from=kept.job)

    taken = publish.collect(second, result, builds=site.kiln.builds, objects=site.kiln.objects)
    own = publish.collect(second, replace(result, cached_from=""), builds=site.kiln.builds, objects=site.kiln.objects)

    assert (taken.outcome, own.outcome) == (Outcome.SUCCEEDED, Outcome.REFUSED)


@pytest.mark.parametrize("key", ["", "a" * 63, "A" * 64, "a" * 65, "é" * 32, "z" * 64])
def test_what_is_no_key_is_refused(site: Site, key: str) -> None:
    assert look_up(site, built(site, 1), key=key).status == 400


def test_row_12_the_address_is_of_one_job_and_for_this_alone(site: Site) -> None:
    ended(site, built(site, 1))
    job, other = built(site, 2), built(site, 3)

    assert look_up(site, job, of=other).status in {401, 403}
    assert look_up(site, job, purpose=LOG_PURPOSE).status in {401, 403}


def test_the_snapshot_of_a_commit_is_known_again(site: Site) -> None:
    builds = site.kiln.builds
    first = build_of(site, built(site, 1))
    assert builds.source_of(OURS, first.commit) is None

    builds.keep_source(first.id, digest="d" * 64, size_bytes=7)

    assert builds.source_of(OURS, first.commit) == ("d" * 64, 7)
    assert builds.source_of(THEIRS, first.commit) is None


def build_of(site: Site, job: JobId) -> Build:
    return site.kiln.builds.build(site.kiln.builds.job(job).build)
