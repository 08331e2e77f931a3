"""Row 12: what a runner was given for one job opens nothing else, and nothing any more once that job is over."""

import hashlib
import pathlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from service.domain.build import Build, BuildJob, Delivery, JobId, Status
from service.domain.event import Event, EventKind
from service.flows import dependencies, plan, source
from service.web.fetches import ACCESS_PURPOSE
from service.web.jobs import LOG_PURPOSE
from tests.fakes.site import Browser, Site


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    yield made
    made.close()


@pytest.fixture
def runner(site: Site) -> Browser:
    """Somebody without a cookie and without a page."""
    return Browser(site, origin=None)


def job_of(site: Site, build: Build) -> JobId:
    (job,) = site.kiln.builds.jobs(build.id)
    return job.id


def two(site: Site) -> tuple[JobId, JobId]:
    repository = site.follow("acme/blink")
    return job_of(site, site.build(repository, "one")), job_of(site, site.build(repository, "two", "refs/heads/b"))


def proof(site: Site, job: str, purpose: str = LOG_PURPOSE) -> str:
    return site.kiln.tokens.issue(purpose, job, expires_s=60)


def log(runner: Browser, job: str, token: str, text: bytes, offset: int = 0) -> int:
    return runner.send("POST", f"/runner/v1/jobs/{job}/log?token={token}&offset={offset}", body=text).status


def put(runner: Browser, url: str, content: bytes) -> int:
    parts = urlsplit(url)
    return runner.send("PUT", f"{parts.path}?{parts.query}", body=content).status


def upload_url(site: Site, job: JobId) -> str:
    return site.kiln.objects.upload_url(plan.staging_key(job, "files"), max_bytes=100, expires_s=60)


def logged(site: Site, job: JobId) -> bytes:
    return b"".join(site.kiln.logs.read(job))


def test_row_12_a_job_writes_no_log_but_its_own(site: Site, runner: Browser) -> None:
    one, two_ = two(site)

    assert log(runner, one, proof(site, one), b"mine\n") == 200
    assert log(runner, two_, proof(site, one), b"of another\n") == 401
    assert log(runner, two_, "", b"of nobody\n") == 401
    assert log(runner, two_, proof(site, two_, ACCESS_PURPOSE), b"for another purpose\n") == 401
    assert (logged(site, one), logged(site, two_)) == (b"mine\n", b"")
    assert site.kiln.builds.job(two_).status is Status.QUEUED


def test_row_12_a_log_is_closed_when_its_job_is_over(site: Site, runner: Browser) -> None:
    repository = site.follow("acme/blink")
    build = site.build(repository)
    job = job_of(site, build)
    token = proof(site, job)
    assert log(runner, job, token, b"all of it\n") == 200
    site.end(build, Status.FAILED)

    assert log(runner, job, token, b"and more\n", offset=10) == 409
    assert log(runner, job, token, b"from the start\n") == 409
    assert logged(site, job) == b"all of it\n"
    assert site.kiln.builds.job(job).status is Status.FAILED


def test_row_12_a_job_uploads_nothing_for_another_and_nothing_when_it_is_over(site: Site, runner: Browser) -> None:
    repository = site.follow("acme/blink")
    build, other = site.build(repository, "one"), site.build(repository, "two", "refs/heads/b")
    one, two_ = job_of(site, build), job_of(site, other)
    url = upload_url(site, one)

    assert put(runner, url, b"mine") == 200
    assert put(runner, url.replace(one, two_), b"for another") == 403
    digest = hashlib.sha256(b"mine").hexdigest()
    site.kiln.objects.adopt(plan.staging_key(one, "files"), digest=digest, size_bytes=4)
    site.end(build)

    assert put(runner, url, b"late") == 409
    assert b"".join(site.kiln.objects.read(digest)) == b"mine"
    assert put(runner, upload_url(site, two_), b"the other goes on") == 200


def test_row_12_a_source_is_taken_once(site: Site, runner: Browser) -> None:
    build = site.build(site.follow("acme/blink"))
    fetch = source.fetch_id(site.kiln.instance.id, build.id)
    url = site.kiln.objects.upload_url(source.staging_key(fetch), max_bytes=100, expires_s=60)
    assert put(runner, url, b"the source") == 200
    site.kiln.builds.keep_source(build.id, digest="d" * 64, size_bytes=10)

    assert put(runner, url, b"another one") == 409
    access = f"/runner/v1/fetches/{fetch}/access?token={proof(site, fetch, ACCESS_PURPOSE)}"
    assert runner.send("POST", access).status == 409


def test_row_12_dependencies_are_taken_after_the_source_and_until_there_are_jobs(site: Site, runner: Browser) -> None:
    (taken,) = site.kiln.builds.accept([delivery_of(site)], now=site.kiln.clock.now())
    assert taken.build is not None
    site.kiln.builds.keep_source(taken.build, digest="d" * 64, size_bytes=10)
    name = dependencies.download_id(site.kiln.instance.id, taken.build)
    url = site.kiln.objects.upload_url(dependencies.staging_key(name), max_bytes=100, expires_s=60)

    assert put(runner, url, b"packages") == 200
    job = BuildJob(id=JobId("k-unix"), build=taken.build, board="unix", family="micropython")
    site.kiln.builds.add_jobs(taken.build, [job])
    assert put(runner, url, b"other packages") == 409


def delivery_of(site: Site) -> Delivery:
    event = Event(kind=EventKind.PUSH, delivery="d", path="acme/blink", ref="refs/heads/main", commit="c" * 40)
    return Delivery(repository=site.follow("acme/blink").id, event=event)


@pytest.mark.parametrize("name", ["nobody", "source-x-999", "source-x-", "job-999"])
def test_row_12_what_belongs_to_no_job_is_not_taken(site: Site, runner: Browser, name: str) -> None:
    """Signed by us once, and its build removed meanwhile."""
    url = site.kiln.objects.upload_url(f"{name}/files", max_bytes=100, expires_s=60)

    assert put(runner, url, b"x") == 409
    assert log(runner, name, proof(site, name), b"x") == 409
