"""Source: one snapshot of exactly the pushed commit, kept as an object."""

from service.domain.build import Build, BuildId
from service.ports import Objects, Sources
from service.records import Builds, Repositories


def take_snapshot(
    name: BuildId, *, repositories: Repositories, builds: Builds, sources: Sources, objects: Objects
) -> None:
    """Safe to repeat. Raises: NotFoundError, TooLargeError (the pusher's doing), SourceError, ObjectsError."""
    build = builds.build(name)
    if _has_source(build):
        return
    stored = objects.put(sources.fetch(repositories.get(build.repository), build.commit))
    builds.keep_source(name, digest=stored.digest, size_bytes=stored.size_bytes)


def _has_source(build: Build) -> bool:
    return build.source_digest != ""
