"""Known: whether a repository has the channel that somebody wants a device to follow."""

from collections.abc import Callable

from service.domain import near
from service.domain.errors import BadInputError
from service.domain.repository import RepositoryId

# The channels that a repository has, the usual one first; None while no build says which. With a second argument: one
# that is looked for. Where it is found soon, the others may be left out.
Channels = Callable[[RepositoryId, str], tuple[str, ...] | None]


def check(repository: RepositoryId, channel: str, channels: Channels) -> str:
    """A sentence for whoever wants it when it cannot be known yet; empty when there is such a channel.

    Raises: BadInputError.
    """
    known = channels(repository, channel)
    if known is None:
        return f"{repository} has no build that says which channels it has: see that one of them is called {channel}"
    if channel in known:
        return ""
    raise BadInputError(
        f"{_lacks(repository, channel, known)}; [channels] of kiln.toml names them, and `kiln releases promote "
        "--new-channel` makes one"
    )


def check_new(repository: RepositoryId, channel: str, channels: Channels) -> None:
    """For whoever did not say that it is to be a new one. Raises: BadInputError."""
    known = channels(repository, channel)
    if known is not None and channel not in known:
        raise BadInputError(
            f'{_lacks(repository, channel, known)}; to make it, say --new-channel (over the API "new_channel": true)'
        )


def _lacks(repository: RepositoryId, channel: str, known: tuple[str, ...]) -> str:
    return f"{repository} has no channel {channel[:80]!r}{near.asked(channel, known) or '.'} It has {', '.join(known)}"
