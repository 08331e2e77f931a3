"""Follow: a repository is connected, its webhook registered; and the reverse."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from service.domain.address import Address, parse_address
from service.domain.branch import branch
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import BadInputError, ConflictError, ForgeError, ForgeRefusedError
from service.domain.hook import Hook, HookState
from service.domain.repository import (
    HOSTS,
    Check,
    Forge,
    Repository,
    RepositoryId,
    Requests,
    is_path,
    repository_id,
)
from service.flows.connect import check_secret, check_token, free_name
from service.forge import ForgeApi, Forges, HookTarget
from service.ports import Clock
from service.records import Builds, Connections, Fleet, Repositories


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A repository that somebody wants followed, not yet checked."""

    url: str
    forge: Forge | None = None  # None: by the host, or by a connection for it
    path: str = ""  # for a local one: what it is to be called
    token: str = field(default="", repr=False)  # a connection is made of it
    secret: str = field(default="", repr=False)  # of the webhook; made up when empty
    signing: bool = False  # GitLab's signing token instead of its secret token
    default_branch: str = ""  # as the forge says, else main
    public: bool = False
    requests: Requests = Requests.APPROVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What became of it. Without a registered webhook `repository.secret` must be put into the forge by hand."""

    repository: Repository
    hook: Hook
    is_registered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the verbs need."""

    repositories: Repositories
    connections: Connections
    builds: Builds
    fleet: Fleet
    forges: Forges
    clock: Clock
    new_secret: Callable[[Check], str]  # random, of the form that this check wants
    hook_url: Callable[[RepositoryId], str]
    changed: Callable[[], None] = lambda: None  # the door must not go by what it remembers


def follow(wanted: Wanted, parts: Parts) -> Followed:
    """Connect a repository. Raises: BadInputError, ConflictError, ForgeRefusedError, ForgeError; nothing is kept then.

    A webhook that the forge refuses to register is no error: it is kept in the record with the forge's sentence.
    """
    address = parse_address(wanted.url)
    _check(wanted)
    made = _connection(wanted, address, parts)
    if made is not None:
        parts.connections.add(made)
    try:
        repository = _describe(wanted, address, made, parts)
        parts.repositories.add(repository)
        parts.changed()
    except Exception:
        if made is not None:
            parts.connections.remove(made.id)
        raise
    api = parts.forges.api(repository)
    if api is None:
        return Followed(repository=repository, hook=Hook(), is_registered=False)
    hook = register(repository, api, parts)
    return Followed(repository=repository, hook=hook, is_registered=hook.id != "")


def register(repository: Repository, api: ForgeApi, parts: Parts) -> Hook:
    """Register the webhook, or put it right again; what came of it is kept. Never raises for what the forge says."""
    known = parts.repositories.hook(repository.id)
    try:
        found = api.ensure_hook(_target(repository, parts), known.id)
    except (ForgeRefusedError, ForgeError) as error:
        state = HookState.MISSING if isinstance(error, ForgeRefusedError) else HookState.UNREACHABLE
        return parts.repositories.keep_hook(repository.id, state=state, detail=str(error)[:500])
    # Put right just now: what it was before is history.
    state = HookState.OK if found.state is HookState.REPAIRED else found.state
    now = parts.clock.now()
    return parts.repositories.keep_hook(
        repository.id,
        id=found.id,
        state=state,
        detail=found.detail,
        checked_at=now,
        recovered_at=known.recovered_at or now,
    )


def unfollow(name: RepositoryId, parts: Parts, *, force: bool) -> str:
    """Forget a repository and take its webhook away. Answers a sentence about what is left at the forge.

    Raises: NotFoundError; ConflictError while devices are enrolled for it; ForgeError, ForgeRefusedError when the
    webhook cannot be removed and `force` is not given. Its builds and releases stay.
    """
    repository = parts.repositories.get(name)
    devices = [each.id for each in parts.fleet.devices(name)]
    if devices:
        raise ConflictError(f"devices are enrolled for {name}: {', '.join(devices[:5])}")
    left = ""
    api = parts.forges.api(repository)
    hook = parts.repositories.hook(name)
    if api is not None and hook.id:
        try:
            api.remove_hook(hook.id)
        except (ForgeError, ForgeRefusedError) as error:
            if not force:
                raise
            left = f"the webhook is still at the forge: {error}"
    for build in parts.builds.builds(name, limit=1000):
        if not build.status.is_final:
            parts.builds.cancel(build.id, "the repository is not followed any more", now=parts.clock.now())
    parts.repositories.remove(name)
    parts.changed()
    _drop_token(repository, parts)
    return left


def _drop_token(repository: Repository, parts: Parts) -> None:
    """A token that came with the repository, and that nothing else uses, is not worth keeping."""
    if not repository.connection:
        return
    connection = parts.connections.get(ConnectionId(repository.connection))
    users = [each for each in parts.repositories.all() if each.connection == connection.id]
    if not connection.is_app and not users:
        parts.connections.remove(connection.id)


def _target(repository: Repository, parts: Parts) -> HookTarget:
    return HookTarget(url=parts.hook_url(repository.id), secret=repository.secret)


def _check(wanted: Wanted) -> None:
    if wanted.secret:
        check_secret(wanted.secret, Check.SIGNATURE if wanted.signing else Check.TOKEN)
    if wanted.default_branch:
        branch(wanted.default_branch)
    if wanted.path and not is_path(wanted.path):
        raise BadInputError("path is like owner/name: letters, digits, '.', '_', '-'")
    if wanted.token:
        check_token(wanted.token)


def _forge(wanted: Wanted, address: Address, parts: Parts) -> Forge:
    if address.forge is not None:
        if wanted.forge not in (None, address.forge, Forge.LOCAL):
            raise BadInputError(f"{address.host or 'a folder'} is {address.forge.value}, not {wanted.forge.value}")
        return wanted.forge or address.forge
    if wanted.forge is not None:
        return wanted.forge
    found = {each.forge for each in parts.connections.all() if each.host == address.host}
    if len(found) == 1:
        return found.pop()
    raise BadInputError(f"say what {address.host} is: forge github, gitlab, or local for git without an API")


def _connection(wanted: Wanted, address: Address, parts: Parts) -> Connection | None:
    """Of the token, or of the name and password of a plain git server; None when there is neither."""
    forge = _forge(wanted, address, parts)
    if forge is Forge.LOCAL and wanted.token:
        raise BadInputError(
            "a token is for GitHub and GitLab; for git without an API put name:password@ into the address"
        )
    if forge is not Forge.LOCAL and (address.username or address.password):
        raise BadInputError("leave name and password out of the address; give a token instead (--token-file)")
    if not (wanted.token or address.password):
        return None
    return Connection(
        id=free_name(f"{forge.value}-{address.path}", parts.connections),
        forge=forge,
        host=address.host,
        scheme=address.scheme,
        kind=ConnectionKind.TOKEN,
        name=f"{'password' if forge is Forge.LOCAL else 'token'} for {address.path}",
        username=address.username,
        token=wanted.token or address.password,
        created_at=parts.clock.now(),
    )


def _describe(wanted: Wanted, address: Address, made: Connection | None, parts: Parts) -> Repository:
    """The record: what the forge says where a connection reaches it, else what was typed."""
    forge = _forge(wanted, address, parts)
    if forge is Forge.LOCAL:
        path = wanted.path or ("" if address.scheme == "file" else address.path)
        if not path:
            raise BadInputError("say what to call it: --path, or path, like owner/name")
        record = _record(wanted, forge, path, address.plain_url, parts)
        return dataclasses.replace(record, connection=made.id if made else "")
    if address.scheme == "http" and address.host in HOSTS.values():
        raise BadInputError(f"{address.host} is reached by https://")
    typed = _record(wanted, forge, wanted.path or address.path, address.clone_url, parts, host=address.host)
    connection = made.id if made is not None else None
    api: ForgeApi | None = None
    if made is not None:
        api = parts.forges.api(dataclasses.replace(typed, connection=made.id))
    elif (found := parts.forges.find(address.clone_url)) is not None:
        connection, api = ConnectionId(found[0]), found[1]
    if api is None or connection is None:
        return typed
    remote = api.describe()
    there = Address(scheme=address.scheme, host=address.host, path=remote.path)
    record = _record(wanted, forge, remote.path, there.clone_url, parts, host=address.host)
    branch = wanted.default_branch or remote.default_branch or "main"
    return dataclasses.replace(record, connection=connection, forge_id=remote.forge_id, default_branch=branch)


def _record(wanted: Wanted, forge: Forge, path: str, url: str, parts: Parts, *, host: str = "") -> Repository:
    if not is_path(path) or (forge is not Forge.LOCAL and "/" not in path):
        raise BadInputError("path is like owner/name: letters, digits, '.', '_', '-'")
    check = Check.SIGNATURE if wanted.signing and forge is Forge.GITLAB else Check.TOKEN
    return Repository(
        id=repository_id(forge, path, host),
        forge=forge,
        host=host,
        path=path,
        url=url,
        secret=wanted.secret or parts.new_secret(check),
        check=check,
        default_branch=wanted.default_branch or "main",
        public=wanted.public,
        requests=wanted.requests,
    )
