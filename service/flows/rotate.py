"""Rotate: a webhook gets a new secret, and what was signed with the old one is taken for a while."""

import datetime

from service.domain.connection import ConnectionId
from service.domain.errors import BadInputError
from service.domain.hook import Hook
from service.domain.repository import Check, RepositoryId
from service.flows.connect import check_secret
from service.flows.follow import Followed, Parts, register


def rotate(name: RepositoryId, parts: Parts, *, secret: str, keep_s: float) -> Followed:
    """Give the webhook a new secret; deliveries with the old one are taken for as long as `keep_s` more.

    Raises: BadInputError, NotFoundError.
    """
    old = parts.repositories.get(name)
    if old.connection and parts.connections.get(ConnectionId(old.connection)).is_app:
        raise BadInputError(f"{name} has no webhook of its own: rotate that of the App, connection {old.connection}")
    if secret:
        check_secret(secret, old.check)
    until = parts.clock.now() + datetime.timedelta(seconds=keep_s)
    changed = parts.repositories.change(
        name, secret=secret or parts.new_secret(old.check), old_secret=old.secret, old_secret_until=until
    )
    parts.changed()
    api = parts.forges.api(changed)
    if api is None:
        return Followed(repository=changed, hook=parts.repositories.hook(name), is_registered=False)
    hook = register(changed, api, parts)
    return Followed(repository=changed, hook=hook, is_registered=hook.id != "")


def rotate_app(name: ConnectionId, parts: Parts, *, keep_s: float) -> Hook:
    """The same of an App, through any repository that is followed through it; answers the webhook as it is then.

    Raises: NotFoundError, BadInputError.
    """
    app = parts.connections.get(name)
    through = next((each for each in parts.repositories.all() if each.connection == name), None)
    if not app.is_app or through is None:
        raise BadInputError(f"{name} is no App through which a repository is followed")
    parts.connections.change(
        name,
        webhook_secret=parts.new_secret(Check.TOKEN),
        old_webhook_secret=app.webhook_secret,
        old_webhook_secret_until=parts.clock.now().timestamp() + keep_s,
    )
    parts.changed()
    api = parts.forges.api(through)
    assert api is not None  # it has a connection, which is an App
    return register(through, api, parts)
