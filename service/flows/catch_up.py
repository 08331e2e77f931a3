"""Catch up: a push that was built while its channel was led back is built once more, to come after that.

Counters follow the order of acceptance. Who leads back is accepted after the push that is being built just then, and no
device that was led back takes the push's release. It is newer than what was given up, so it shall come to them.
"""

from service.domain.build import Build, BuildId, Delivery
from service.domain.event import Event, EventKind
from service.domain.release import Release
from service.domain.rollout import Rollout, RolloutId
from service.flows.rollout_parts import KILN, Parts, noted


def catch_up(name: BuildId, parts: Parts) -> BuildId | None:
    """The build that does so; None where there is nothing to catch up with. Safe to repeat, after the build ended."""
    build, release = parts.builds.build(name), parts.builds.release(name)
    undone = _passed_by(build, release, parts) if release is not None and release.withdrawn_at is None else None
    if undone is None or parts.builds.heads(build.repository).get(build.ref) != build.commit:
        return None  # or the newer push is built, and comes after it by itself
    event = Event(kind=EventKind.RERUN, delivery=f"catch-up-{name}", build=str(name))
    (taken,) = parts.builds.accept([Delivery(repository=build.repository, event=event)], now=parts.clock.now())
    if taken.is_new:
        detail = f"build {name} was passed by: its commit {build.commit[:12]} is built again as {taken.build}"
        parts.rollouts.change(undone, deed=noted(undone, "caught_up", parts, by=KILN, detail=detail), why=undone.why)
    return taken.build


def _passed_by(build: Build, release: Release, parts: Parts) -> Rollout | None:
    """The roll-out that was given up, and whose undoing came to the channel in the place of a newer build."""
    current = parts.builds.current(release.repository, release.channel) if release.channel else None
    if current is None or current.counter <= release.counter or build.undoes is not None:
        return None
    undoes = parts.builds.build(current.build).undoes
    undone = parts.rollouts.get(RolloutId(undoes)) if undoes is not None else None
    return undone if undone is not None and undone.counter < release.counter else None
