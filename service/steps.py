"""The steps of a build: each verb with what it needs, its arguments and outcome as JSON.

The durable engine (`service.workflows`) keeps outcomes as checkpoints. What is the pusher's doing travels as a value,
for a checkpoint does not keep an exception's type. A step may run twice, so every verb is safe to repeat.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runners.contract.board import Catalogue
from runners.contract.download import Download
from runners.contract.job import Limits, Result
from runners.contract.manifest import ManifestError
from runners.contract.source import Fetched
from service.domain.build import Build, BuildId, JobId, Status
from service.domain.errors import BadInputError, NotFoundError
from service.domain.own_images import OwnImages
from service.domain.provenance import Builder
from service.flows import catch_up, dependencies, note, plan, publish, rollouts, source
from service.flows.rollout_parts import Parts as RolloutParts
from service.ports import Boms, Clock, Keys, Logs, Objects, Sources
from service.records import Audit, Builds, Channels, Dependencies, Fleet, Repositories

NOT_TOUCHED = "no path that [build] paths of kiln.toml names was touched"
_ENDED = {"ended": True}

# Told before and after each step: (step, "begin" | "end", build). For logs, and for tests that kill.
Observer = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the verbs need."""

    repositories: Repositories
    builds: Builds
    channels: Channels
    fleet: Fleet
    objects: Objects
    logs: Logs
    sources: Sources
    keys: Keys
    clock: Clock
    catalogue: Catalogue
    own_images: OwnImages
    limits: Limits
    instance: str
    addresses: plan.Addresses
    compare: plan.Compare
    fetching: source.Fetching
    locks: Dependencies
    allowed: dependencies.Allowed
    boms: Boms
    builder: Builder
    rolling: RolloutParts
    audit: Audit


class FailedError(Exception):
    """The build failed; the message is for the person who pushed."""


class EndedError(Exception):
    """The build was cancelled: nothing more is to be done for it."""


def outcome_of(parts: Parts, act: Callable[..., Any], build: int, *arguments: Any) -> dict[str, Any]:
    """Do one step: `{"value": ...}`, `{"failed": sentence}`, or that the build was over. Raises what passes."""
    try:
        # Cancelled while it waited or worked: how it ended is written down already.
        found = parts.builds.build(BuildId(build))
        if found.status is Status.CANCELLED:
            return _ENDED
        return {"value": act(parts, found, *arguments)}
    except (BadInputError, NotFoundError, ManifestError) as error:
        return {"failed": str(error)}


def value_of(outcome: dict[str, Any]) -> Any:  # what the step answered
    """Raises: FailedError with the pusher's sentence, EndedError when the build was cancelled meanwhile."""
    if "failed" in outcome:
        raise FailedError(outcome["failed"])
    if outcome == _ENDED:
        raise EndedError
    return outcome["value"]


def take_source(parts: Parts, build: Build) -> dict[str, Any] | None:
    fetch = source.begin(
        build,
        repositories=parts.repositories,
        builds=parts.builds,
        sources=parts.sources,
        objects=parts.objects,
        instance=parts.instance,
        fetching=parts.fetching,
    )
    return None if fetch is None else fetch.to_json()


def keep_source(parts: Parts, build: Build, fetched: dict[str, Any]) -> None:
    source.keep(build.id, Fetched.from_json(fetched), builds=parts.builds, objects=parts.objects)


def lay_out(parts: Parts, build: Build) -> list[dict[str, Any]] | dict[str, Any] | None:
    """The jobs; or the download, that has to be done before there can be any; None when nothing is to be built."""
    found = plan.plan(
        build,
        repositories=parts.repositories,
        builds=parts.builds,
        objects=parts.objects,
        catalogue=parts.catalogue,
        own_images=parts.own_images,
        instance=parts.instance,
        limits=parts.limits,
        addresses=parts.addresses,
        compare=parts.compare,
        take=lambda of, manifest: dependencies.take(
            of,
            manifest,
            known=parts.locks,
            objects=parts.objects,
            instance=parts.instance,
            allowed=parts.allowed,
        ),
    )
    if isinstance(found, Download):
        return found.to_json()
    return None if found is None else [each.to_json() for each in found]


def keep_dependencies(parts: Parts, _build: Build, download: dict[str, Any], fetched: dict[str, Any]) -> None:
    dependencies.keep(
        Download.from_json(download), Fetched.from_json(fetched), known=parts.locks, objects=parts.objects
    )


def collect(parts: Parts, _build: Build, job: str, result: dict[str, Any]) -> dict[str, Any]:
    kept = publish.collect(JobId(job), Result.from_json(result), builds=parts.builds, objects=parts.objects)
    if kept.cached_from:  # no container, so nobody else has written a log
        said = f"[kiln: the same source was built by {kept.cached_from}: taken from there]\n"
        parts.logs.append(JobId(job), 0, said.encode())
    return kept.to_json() | {"job": job}


def release(parts: Parts, build: Build) -> None:
    if not build.is_released:
        return
    names = (each.name for each in dataclasses.fields(publish.Parts))
    publish.publish(build.id, publish.Parts(**{name: getattr(parts, name) for name in names}))
    note.released(build.id, builds=parts.builds, audit=parts.audit, keys=parts.keys, clock=parts.clock)


def end(parts: Parts, build: Build, status: str, message: str) -> None:
    parts.builds.end_build(build.id, Status(status), message, now=parts.clock.now())


def tell(parts: Parts, build: Build) -> int:
    """Begin its roll-out, or have it built again where a roll-back passed it by; how many devices were told at once."""
    rollout, told = rollouts.begin(build.id, parts.rolling)
    if rollout is None:
        catch_up.catch_up(build.id, parts.rolling)
    return told
