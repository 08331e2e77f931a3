"""Builds, jobs and releases."""

import datetime
from collections.abc import Collection, Sequence
from typing import Protocol

from runners.contract.job import Result
from service.domain.build import Build, BuildId, BuildJob, Delivery, JobId, Status, Taken
from service.domain.release import Attestation, Bundle, Release, ReleaseDigest
from service.domain.repository import RepositoryId


class Builds(Protocol):
    def accept(self, deliveries: Sequence[Delivery], *, now: datetime.datetime) -> list[Taken]:
        """Record deliveries and do what they say: all of it or nothing.

        Builds are made and their durable workflows started; older builds of the same branch or request are cancelled
        as superseded; builds of what was deleted or closed are cancelled. A delivery that came before, or that says
        what the newest build of its ref says already, has that build (`service.domain.arrival`).
        """

    def approve(self, name: BuildId, *, by: str, now: datetime.datetime) -> Build:
        """Start a build that waits, and every later one of the same request and commit. Raises: ConflictError."""

    def cancel(self, name: BuildId, message: str, *, now: datetime.datetime) -> Build:
        """Raises: ConflictError when it ended before."""

    def winding(self, *, limit: int = 200) -> list[BuildId]:
        """Cancelled builds whose workflow and containers may still be at work."""

    def wound(self, names: Sequence[BuildId]) -> None:
        """Nothing of them is at work any more: their jobs are cancelled, too."""

    def heads(self, repository: RepositoryId) -> dict[str, str]:
        """Of every ref that was ever built or skipped: the commit of its newest build.

        Re-runs of what a ref had left do not count.
        """

    def open_refs(self, repository: RepositoryId) -> set[str]:
        """The refs with a build that has not ended."""

    def build(self, name: BuildId) -> Build:
        """Raises: NotFoundError."""

    def builds(
        self, repository: RepositoryId | None = None, *, among: Collection[RepositoryId] | None = None, limit: int = 50
    ) -> list[Build]:
        """Newest first."""

    def newest(self, repository: RepositoryId, *, ref: str | None = None) -> Build | None:
        """Of a ref; without one, of any branch or tag. What was skipped does not count."""

    def earlier(self, build: Build, *, limit: int = 50) -> list[Build]:
        """The builds of the same ref before this one, newest first."""

    def keep_source(self, name: BuildId, *, digest: str, size_bytes: int) -> None: ...

    def source_of(self, repository: RepositoryId, commit: str) -> tuple[str, int] | None:
        """Digest and size of a snapshot that an earlier build of this very commit has kept."""

    def keep_title(self, name: BuildId, title: str) -> None:
        """The commit's own, in the place of one of ours (`OUR_TITLES`); an empty one changes nothing."""

    def title_of(self, repository: RepositoryId, commit: str) -> str:
        """That which another push of this very commit brought, or which was read of it. Empty: not known."""

    def add_jobs(self, name: BuildId, jobs: Sequence[BuildJob]) -> None: ...

    def jobs(self, name: BuildId) -> list[BuildJob]:
        """In the order of their boards' names."""

    def job(self, name: JobId) -> BuildJob:
        """Raises: NotFoundError."""

    def start_job(self, name: JobId) -> None:
        """It was seen running. Does nothing once it ended."""

    def end_job(self, name: JobId, result: Result) -> None: ...

    def kept_result(self, job: JobId, cache_key: str) -> Result | None:
        """What a push to the job's own repository made of the same request, the newest; None when there is nothing.

        Requests from forks read here, and nothing of theirs is ever found.
        """

    def end_build(self, name: BuildId, status: Status, message: str, *, now: datetime.datetime) -> None:
        """Does nothing when it ended before."""

    def add_release(
        self, release: Release, bundles: Sequence[Bundle], attestations: Sequence[Attestation] = ()
    ) -> bool:
        """Keep a release once for its build, and move its channel to it unless a newer one is there.

        Newer by its counter; and where both are of tags, by the precedence of their versions. What is said of it is
        kept with it, or nothing is.

        Answers whether the channel points at it now. Raises: ConflictError, and nothing is kept, when the build was
        cancelled or must not be released.
        """

    def sign_anew(self, build: BuildId, bundles: Sequence[Bundle], attestations: Sequence[Attestation]) -> None:
        """Put these in the place of the bundles and attestations of a release, in one transaction.

        Raises: NotFoundError when the build has no release.
        """

    def currents(self) -> list[Release]:
        """Where all channels of all repositories point."""

    def release(self, build: BuildId) -> Release | None: ...

    def current(self, repository: RepositoryId, channel: str) -> Release | None:
        """Where the channel points."""

    def newest_release(self, repository: RepositoryId) -> Release | None:
        """The one with the highest counter that was not withdrawn, in whatever channel."""

    def bundles(self, build: BuildId) -> list[Bundle]: ...

    def attestations(self, build: BuildId) -> list[Attestation]:
        """In the order of kind and board. None for a release of Kiln 0.1."""

    def bundle(self, digest: ReleaseDigest) -> Bundle:
        """Raises: NotFoundError."""
