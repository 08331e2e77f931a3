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
from service.domain.shared import Scope
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
        """By the release that its next order names, and for what that does not know by the one that it gets after it.

        Where its settings keep it from that one, its values are what it waits for: then that one comes first.
        """
        following = device.pin or self._newest(device)
        after = {} if following is None else self.by(following)
        ordered = self._ordered(device)
        if ordered is None or ordered == following:
            return after
        before = self.by(ordered)
        return {**before, **after} if lacks.is_lack(device.hold) else {**after, **before}

    def _newest(self, device: Device) -> BuildId | None:
        release = self._kiln.builds.current(device.repository, device.channel)
        return None if release is None else release.build

    def _ordered(self, device: Device) -> BuildId | None:
        """What it was ordered last; who comes anew is given what its channel has that is proved (`flows.settle`)."""
        if device.desired is None:
            return None if device.pin else self._kiln.rollouts.good(device.repository, device.channel)
        try:
            return self._kiln.builds.bundle(device.desired).build
        except NotFoundError:  # signed anew with another key, and then cut off
            return None

    def in_use(self, scope: Scope) -> dict[str, Schema]:
        """By the newest release of each channel, and by those that the devices of this scope are ordered or pinned to,
        the oldest of them first, by version. Whom settings keep from a release has values that wait for that one alone.
        """
        builds = {each.build for each in self._kiln.builds.currents() if each.repository == scope.repository}
        for ordered, pin, hold in self._kiln.inventory.firmware(scope):
            builds |= {each for each in (pin, None if lacks.is_lack(hold) else ordered) if each is not None}
        releases = [self._kiln.builds.release(each) for each in builds]
        found: dict[str, Schema] = {}
        for each in sorted((each for each in releases if each is not None), key=_counter):
            name = f"{each.version} (build {each.build})" if each.version in found else each.version
            found[name] = self.by(each.build)
        return found

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
