"""Offer: what a new device of a repository can be, for whoever fills in a form."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runners.contract.board import Board, Catalogue
from runners.contract.manifest import Manifest, ManifestError
from runners.contract.setting import SettingSpec
from service.domain.build import Build
from service.domain.errors import NotFoundError
from service.domain.repository import RepositoryId
from service.domain.shared import Scope
from service.flows.flash import ManifestOf
from service.records import Builds, SharedSettings

CHANNEL = "beta"  # what is offered first
# What the agent itself reads, whatever a manifest declares.
WIFI = (
    SettingSpec(name="WIFI_SSID", type="string", help="name of the Wi-Fi that the board joins", optional=True),
    SettingSpec(name="WIFI_PASSWORD", type="secret", help="its password", optional=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    boards: tuple[Board, ...]
    channels: tuple[str, ...]
    settings: tuple[SettingSpec, ...]
    given: frozenset[str] = field(default_factory=frozenset)  # settings that the whole fleet has a value of
    is_built: bool = True  # else it is not known yet what it is for, and all boards are offered


def offer(
    repository: RepositoryId, *, builds: Builds, shared: SharedSettings, catalogue: Catalogue, manifest: ManifestOf
) -> Offer:
    """By the newest release, else by the newest build that can be read."""
    found = newest_manifest(repository, builds, manifest)
    names = found.boards if found else tuple(catalogue.boards)
    known = {**catalogue.boards, **(found.kinds if found else {})}
    declared = found.settings if found else ()
    own = {each.name for each in declared}
    return Offer(
        boards=tuple(known[name] for name in names if name in known and known[name].updates != "none"),
        channels=channels_of(found.channels if found else {}),
        settings=(*(each for each in WIFI if each.name not in own), *declared),
        given=frozenset(shared.get(Scope(repository))),
        is_built=found is not None,
    )


def channels_of(fed: Mapping[str, str]) -> tuple[str, ...]:
    names = list(dict.fromkeys(fed.values())) or [CHANNEL]
    return tuple(sorted(names, key=lambda name: name != CHANNEL))  # the usual one first, the others as they are named


def newest_manifest(repository: RepositoryId, builds: Builds, manifest: ManifestOf) -> Manifest | None:
    """Of the newest release, else of the newest build; None where that cannot be read."""
    release = builds.newest_release(repository)
    newest: Build | None = builds.build(release.build) if release else builds.newest(repository)
    try:
        return manifest(newest) if newest else None
    except (NotFoundError, ManifestError):  # its source is gone, or it was never read
        return None
