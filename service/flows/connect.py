"""Connect: how Kiln comes to a token that several repositories of a host share."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from service.domain.connection import MAX_SECRET_CHARS, Connection, ConnectionId, ConnectionKind
from service.domain.errors import BadInputError, ConflictError
from service.domain.repository import HOSTS, Check, Forge, is_host
from service.ports import Clock
from service.records import Connections

MAX_NAME_CHARS = 60
MAX_URL_CHARS = 500
MIN_HOOK_SECRET_CHARS, MAX_HOOK_SECRET_CHARS = 16, 200
_SIGNING = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
_NOT_NAME = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A connection that somebody wants, not yet checked."""

    url: str  # of the host: https://gitlab.com, https://git.lan:8443
    token: str = field(repr=False)
    forge: str = ""  # empty: as the host says
    name: str = ""  # for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the verbs need."""

    connections: Connections
    clock: Clock


def add_token(wanted: Wanted, parts: Parts) -> Connection:
    """Raises: BadInputError naming what to fix, ConflictError."""
    scheme, host = parse_host(wanted.url)
    forge = forge_of(host, wanted.forge)
    check_token(wanted.token)
    if len(wanted.name) > MAX_NAME_CHARS or not wanted.name.isprintable():
        raise BadInputError(f"name has at most {MAX_NAME_CHARS} characters on one line")
    made = Connection(
        id=free_name(f"{forge.value}-{wanted.name or host}", parts.connections),
        forge=forge,
        host=host,
        scheme=scheme,
        kind=ConnectionKind.TOKEN,
        name=wanted.name or f"token for {host}",
        token=wanted.token,
        created_at=parts.clock.now(),
    )
    parts.connections.add(made)
    return made


def parse_host(url: str) -> tuple[str, str]:
    """Scheme and host of a forge's address. Raises: BadInputError."""
    try:
        parts = urlsplit(url if len(url) <= MAX_URL_CHARS else "")
        host = (parts.hostname or "").lower() + (f":{parts.port}" if parts.port is not None else "")
    except ValueError as error:
        raise BadInputError(f"not an address: {url[:80]!r}") from error
    if parts.scheme not in ("https", "http") or not is_host(host) or parts.username is not None:
        raise BadInputError("the address of a forge is like https://gitlab.com or http://git.lan:8080")
    if parts.scheme == "http" and host in HOSTS.values():
        raise BadInputError(f"{host} is reached by https://")
    return parts.scheme, host


def forge_of(host: str, said: str) -> Forge:
    """Raises: BadInputError when the host does not tell and nobody says."""
    known = next((forge for forge, usual in HOSTS.items() if usual == host), None)
    if known is not None:
        return known
    if said not in (Forge.GITHUB.value, Forge.GITLAB.value):
        raise BadInputError(f"say what {host} is: forge github or gitlab")
    return Forge(said)


def check_token(token: str) -> None:
    """Raises: BadInputError, without the token in it."""
    if not 0 < len(token) <= MAX_SECRET_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise BadInputError(f"a token is 1 to {MAX_SECRET_CHARS} printable ASCII characters on one line")


def check_secret(secret: str, check: Check) -> None:
    """Of a webhook, as somebody wants it. Raises: BadInputError."""
    if (
        not MIN_HOOK_SECRET_CHARS <= len(secret) <= MAX_HOOK_SECRET_CHARS
        or not secret.isascii()
        or not secret.isprintable()
    ):
        limits = f"{MIN_HOOK_SECRET_CHARS} to {MAX_HOOK_SECRET_CHARS}"
        raise BadInputError(f"secret has {limits} printable ASCII characters")
    if check is Check.SIGNATURE and not _SIGNING.fullmatch(secret):
        raise BadInputError("a signing token is whsec_ and 32 bytes in base64")


def free_name(wished: str, connections: Connections) -> ConnectionId:
    """An id that is not taken, made of what was wished for. Raises: ConflictError when there are too many like it."""
    plain = _NOT_NAME.sub("-", wished.lower()).strip("-")[:MAX_NAME_CHARS]
    taken = {each.id for each in connections.all()}
    for count in range(1, 100):
        name = plain if count == 1 else f"{plain}-{count}"
        if name not in taken:
            return ConnectionId(name)
    raise ConflictError(f"there are many connections called {plain}: remove those that are not used")
