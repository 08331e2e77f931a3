"""Promote: a release goes to the devices of another channel, as it is. Nothing is built or signed again."""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.errors import NotFoundError
from service.domain.release import Release, channel_name
from service.domain.repository import RepositoryId
from service.domain.root import signer_of
from service.flows import known as known_channels
from service.flows.notes import notes_of
from service.ports import Clock, Keys
from service.records import Builds, Channels, Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the verbs of releases need.

    `begin` brings a release to the devices of a channel, and is safe to repeat; `stop` ends what brings it anywhere,
    with a sentence; `undo` answers the builds that lead back who runs it, and how many
    devices were told of a newer release instead; `settle` is `flows.settle`, `stay` `flows.stay`. `publish_anew`
    signs a release once more (`flows.publish`). `named` says which channels a repository has. `resume` is
    `flows.rollouts.resume`.
    """

    builds: Builds
    channels: Channels
    fleet: Fleet
    keys: Keys
    clock: Clock
    publish_anew: Callable[[BuildId], object]
    begin: Callable[[BuildId, str, str], object]  # the release, the channel, who wants it
    stop: Callable[[BuildId, str], object]
    undo: Callable[[BuildId], tuple[list[BuildId], int]]
    settle: Callable[[DeviceId], bool]
    stay: Callable[[Device], bool]
    resume: Callable[[RepositoryId, str, str], object]  # of a channel, for whom
    named: known_channels.Channels


def promote(name: BuildId, channel: str, parts: Parts, *, by: str, is_new: bool = False) -> Release:
    """Point `channel` at a release. Safe to repeat. A channel that the repository does not have yet `is_new`.

    Raises: BadInputError for the channel's name, NotFoundError, ConflictError when the release was withdrawn or the
    channel is ahead of it.
    """
    channel_name(channel)
    before = known(name, parts.builds)
    if not is_new and before.withdrawn_at is None:
        known_channels.check_new(before.repository, channel, parts.named)
    _hold(name, parts)
    if parts.channels.promote(name, channel, by=by, now=parts.clock.now()):
        _widen(before, channel, parts)
    parts.begin(name, channel, by)  # also when an earlier call was cut off before it
    return known(name, parts.builds)


def known(name: BuildId, builds: Builds) -> Release:
    """Raises: NotFoundError."""
    release = builds.release(name)
    if release is None:
        raise NotFoundError(f"build {name} has no release")
    return release


def _hold(name: BuildId, parts: Parts) -> None:
    """Devices take nothing that a revoked key signed, so what lay in no channel since then is signed by the new one."""
    root = parts.keys.root()
    if any(not root.holds("release", signer_of(each.statement)) for each in parts.builds.bundles(name)):
        parts.publish_anew(name)


def _widen(release: Release, channel: str, parts: Parts) -> None:
    """The channel may have missed releases of the other: notes that nobody wrote by hand tell of those as well."""
    if release.notes == notes_of(release.build, release.repository, release.channel, parts.channels):
        parts.channels.keep_notes(
            release.build, notes_of(release.build, release.repository, channel, parts.channels) or release.notes
        )
