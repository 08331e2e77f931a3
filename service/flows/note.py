"""Note: a release that was made is entered in the audit log."""

from service.domain.audit import Deed
from service.domain.build import BuildId
from service.ports import Clock, Keys
from service.records import Audit, Builds

MADE = "release.made"
LOOKED_THROUGH = 50  # entries of a repository, for whether its release was noted before


def released(name: BuildId, *, builds: Builds, audit: Audit, keys: Keys, clock: Clock) -> None:
    """Safe to repeat: it is noted once. Does nothing where there is no release."""
    build, release = builds.build(name), builds.release(name)
    latest = audit.entries(build.repository, limit=LOOKED_THROUGH)
    if release is None or any((each.deed.what, each.deed.subject) == (MADE, str(name)) for each in latest):
        return
    signed = f"signed by release key {keys.public('release').kid}"
    detail = f"{release.version} of {build.ref} at {build.commit[:12]}, by {build.author or 'somebody'}, {signed}"
    deed = Deed(who="kiln", what=MADE, repository=build.repository, subject=str(name), detail=detail)
    audit.note(deed, now=clock.now())
