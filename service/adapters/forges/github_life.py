"""GitHub's deliveries about the repository itself, its webhook, and what an App may see.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from collections.abc import Callable
from dataclasses import replace

from service.adapters.forges import payload
from service.adapters.forges.sayings import About
from service.domain.event import Event, EventKind, RepositoryChange

_REPOSITORY = {
    "renamed": RepositoryChange.MOVED,
    "transferred": RepositoryChange.MOVED,
    "privatized": RepositoryChange.MADE_PRIVATE,
    "publicized": RepositoryChange.MADE_PUBLIC,
    "deleted": RepositoryChange.DELETED,
}
_INSTALLATION = {
    "created": RepositoryChange.ACCESS_GAINED,
    "unsuspend": RepositoryChange.ACCESS_GAINED,
    "deleted": RepositoryChange.ACCESS_LOST,
    "suspend": RepositoryChange.ACCESS_LOST,
}
_CHOICE = {
    "added": (RepositoryChange.ACCESS_GAINED, "repositories_added"),
    "removed": (RepositoryChange.ACCESS_LOST, "repositories_removed"),
}


def action(fields: payload.Fields) -> str:
    """What happened to what the event is named after; of odd characters none."""
    return payload.line(fields.get("action"))


def unwanted(about: About, name: str, what: str) -> Event:
    return about.ignored(f"Kiln does nothing on {name}: {what or 'no action'}")


def _repository(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository"""
    change = _REPOSITORY.get(action(fields))
    if change is None:
        return unwanted(about, "repository", action(fields))
    about.needs_path()
    was = _path_before(fields, about.path) if change is RepositoryChange.MOVED else ""
    return replace(about.event(EventKind.CHANGED), change=change, paths=(was,) if was else ())


def _path_before(fields: payload.Fields, path: str) -> str:
    """Where a repository was until it was renamed or given to somebody else; empty when that is not said."""
    owner, _, name = path.rpartition("/")
    changes = payload.table(fields, "changes")
    old_name = payload.table(payload.table(changes, "repository"), "name").get("from")
    owners = payload.table(payload.table(changes, "owner"), "from")
    old_owner = (payload.table(owners, "user") or payload.table(owners, "organization")).get("login")
    if not old_name and not old_owner:
        return ""
    return payload.path(f"{old_owner or owner}/{old_name or name}")


def _meta(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#meta"""
    if action(fields) != "deleted":
        return unwanted(about, "meta", action(fields))
    if not about.path:
        return about.ignored("the webhook of an organization or an App was deleted, not that of a repository")
    return replace(about.event(EventKind.CHANGED), change=RepositoryChange.HOOK_DELETED)


def _installation(fields: payload.Fields, about: About) -> Event:
    """An account's installation. Only `created` lists all of its repositories; the others are about every one.

    https://docs.github.com/en/webhooks/webhook-events-and-payloads#installation
    """
    what = action(fields)
    if what not in _INSTALLATION:
        return unwanted(about, "installation", what)
    account = payload.table(payload.table(fields, "installation"), "account").get("login")
    listed = _paths(fields, "repositories")
    paths = listed if what == "created" else tuple(filter(None, (payload.path(account),)))
    return _access(about, _INSTALLATION[what], paths)


def _installation_repositories(fields: payload.Fields, about: About) -> Event:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#installation_repositories"""
    what = action(fields)
    if what not in _CHOICE:
        return unwanted(about, "installation_repositories", what)
    change, name = _CHOICE[what]
    return _access(about, change, _paths(fields, name))


def _paths(fields: payload.Fields, name: str) -> tuple[str, ...]:
    found = (payload.path(each.get("full_name")) for each in payload.tables(fields, name))
    return tuple(path for path in found if path)


def _access(about: About, change: RepositoryChange, paths: tuple[str, ...]) -> Event:
    if not paths:
        return about.ignored("it names no repository that Kiln could follow")
    return replace(about.event(EventKind.CHANGED), change=change, paths=paths)


DECODERS: dict[str, Callable[[payload.Fields, About], Event]] = {
    "repository": _repository,
    "meta": _meta,
    "installation": _installation,
    "installation_repositories": _installation_repositories,
}
