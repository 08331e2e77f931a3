"""Notes: what is new in a release, put together from what was pushed."""

from service.domain.build import BuildId
from service.domain.notes import notes
from service.domain.repository import RepositoryId
from service.records import Channels


def notes_of(name: BuildId, repository: RepositoryId, channel: str | None, channels: Channels) -> str:
    """Since the release before in that channel. Empty for a release of no channel: nothing is before it."""
    if channel is None:
        return ""
    push = channels.push(name)
    return notes(push, channels.before(repository, channel, push.number), channels.pushes(repository))
