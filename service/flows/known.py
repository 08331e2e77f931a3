"""Known: whether a repository has the channel that somebody wants a device to follow."""

from collections.abc import Callable

from service.domain import near
from service.domain.errors import BadInputError
from service.domain.repository import RepositoryId

# The channels that a repository has, the usual one first; None while no build says which.
Channels = Callable[[RepositoryId], tuple[str, ...] | None]


def check(repository: RepositoryId, channel: str, channels: Channels) -> str:
    """A sentence for whoever wants it when it cannot be known yet; empty when there is such a channel.

    Raises: BadInputError.
    """
    known = channels(repository)
    if known is None:
        return f"{repository} has no build that says which channels it has: see that one of them is called {channel}"
    if channel in known:
        return ""
    raise BadInputError(
        f"{repository} has no channel {channel[:80]!r}{near.asked(channel, known) or '.'} It has {', '.join(known)}; "
        "[channels] of kiln.toml names them, and `kiln releases promote` makes one"
    )
