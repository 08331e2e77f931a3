"""What firmware declares, and what keeps a release from a device for it."""

import contextlib
import logging
from collections.abc import Callable

from runners.contract.manifest import Manifest, ManifestError
from service.domain.build import BuildId
from service.domain.configuration import Schema
from service.domain.device import Device
from service.domain.errors import KilnError, NotFoundError, OutsideError
from service.domain.release import Release
from service.domain.repository import RepositoryId
from service.flows import announce, lacks, offer, plan
from service.kiln import Kiln

logger = logging.getLogger("kiln.settings")

KEPT_MANIFESTS = 128
MAX_BRANCHES = 50  # the newest, whose manifests are asked which channels there are


def manifests(kiln: Kiln) -> Callable[[BuildId], Manifest]:
    """The manifest of a build, read from its snapshot once in a process: neither changes."""

    def read(build: BuildId) -> Manifest:
        kept = kiln.manifests.get(build)
        if kept is None:
            kept = plan.manifest_of(
                kiln.builds.build(build),
                repositories=kiln.repositories,
                objects=kiln.objects,
                catalogue=kiln.boards.catalogue,
            )
            if len(kiln.manifests) >= KEPT_MANIFESTS:
                kiln.manifests.clear()
            kiln.manifests[build] = kept
        return kept

    return read


class Declared:
    """What firmware declares. Nothing, where its source is gone."""

    def __init__(self, kiln: Kiln) -> None:
        self._kiln = kiln
        self._read = manifests(kiln)

    def by(self, build: BuildId) -> Schema:
        """Raises: OutsideError: what cannot be read for now is not taken for no declaration."""
        try:
            return {each.name: each for each in self._read(build).settings}
        except OutsideError:
            raise
        except (KilnError, ManifestError) as error:
            logger.warning("settings not declared", extra={"build": build, "error": str(error)})
            return {}

    def for_device(self, device: Device) -> Schema:
        """By the newest release of its channel."""
        release = self._kiln.builds.current(device.repository, device.channel)
        return {} if release is None else self.by(release.build)

    def in_channels(self, repository: RepositoryId) -> dict[str, Schema]:
        """By the newest release of each channel, the oldest of them first, by version."""
        found = [each for each in self._kiln.builds.currents() if each.repository == repository]
        return {each.version: self.by(each.build) for each in sorted(found, key=_counter)}

    def channels(self, repository: RepositoryId, wanted: str) -> tuple[str, ...] | None:
        """:data:`service.flows.known.Channels`: those of the newest manifest, those that point at a release, those
        that devices follow, and those of the newest manifest of any branch, which take longest to find.
        """
        newest = offer.newest_manifest(repository, self._kiln.builds, lambda build: self._read(build.id))
        found = dict.fromkeys(offer.channels_of(newest.channels) if newest else self._of_branches(repository))
        if not found:
            return None
        for others in (self._pointing, self._kiln.channels.followed, self._of_branches):
            if wanted not in found:
                found |= dict.fromkeys(others(repository))
        return tuple(found)

    def _pointing(self, repository: RepositoryId) -> list[str]:
        current = [each.build for each in self._kiln.builds.currents() if each.repository == repository]
        return sorted(each.channel for each in self._kiln.channels.places(current))

    def _of_branches(self, repository: RepositoryId) -> list[str]:
        found: list[str] = []
        for build in self._kiln.channels.branches(repository, limit=MAX_BRANCHES):
            with contextlib.suppress(NotFoundError, ManifestError):  # its source is gone, or it was never read
                found += offer.channels_of(self._read(build).channels)
        return found


def _counter(release: Release) -> int:
    return release.counter


def obstacle(kiln: Kiln, declared: Declared) -> announce.Obstacle:
    return lacks.Needs(configurations=kiln.sealed.configurations, declared=declared.by).obstacle
