"""Settings, wired: what firmware declares, what keeps a release from a device, and what changing settings needs."""

import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from runners.contract.manifest import Manifest, ManifestError
from service.adapters.device_cipher import encrypt
from service.domain.build import BuildId
from service.domain.configuration import Schema
from service.domain.device import Device, DeviceId
from service.domain.errors import KilnError, OutsideError
from service.domain.release import Release
from service.domain.repository import RepositoryId
from service.flows import announce, configure, lacks, plan, settle, shared
from service.kiln import Kiln

logger = logging.getLogger("kiln.settings")

SIGNING_THREADS = 2  # RSA lets other threads run
KEPT_MANIFESTS = 128


def manifests(kiln: Kiln) -> Callable[[BuildId], Manifest]:
    """The manifest of a build, read from its snapshot once: neither changes."""

    @functools.lru_cache(maxsize=KEPT_MANIFESTS)
    def read(build: BuildId) -> Manifest:
        found = kiln.builds.build(build)
        return plan.manifest_of(found, repositories=kiln.repositories, objects=kiln.objects, catalogue=kiln.catalogue)

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


def _counter(release: Release) -> int:
    return release.counter


def obstacle(kiln: Kiln, declared: Declared) -> announce.Obstacle:
    return lacks.Needs(configurations=kiln.configurations, declared=declared.by).obstacle


def settling(kiln: Kiln, declared: Declared) -> Callable[[DeviceId], bool]:
    """Orders what a device shall run now."""
    in_the_way = obstacle(kiln, declared)
    return lambda name: settle.settle(
        name, builds=kiln.builds, fleet=kiln.fleet, keys=kiln.keys, clock=kiln.clock, obstacle=in_the_way
    )


def parts(kiln: Kiln, declared: Declared) -> configure.Parts:
    return configure.Parts(
        builds=kiln.builds,
        fleet=kiln.fleet,
        configurations=kiln.configurations,
        keys=kiln.keys,
        clock=kiln.clock,
        encrypt=encrypt,
        schema=declared.for_device,
        shared=kiln.shared,
        again=settling(kiln, declared),
    )


def remaker(kiln: Kiln, told: Callable[[], None]) -> shared.Remaker:
    pool = ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="settings")
    return shared.Remaker(parts=parts(kiln, Declared(kiln)), told=told, spread=pool.map)
