"""Which addresses may be fetched from: URLs, names and the numbers behind them. Pure: the resolver is passed in."""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from fetcher.words import RefusedError

MAX_URL_CHARS = 2000
PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"([a-z]+)://([^/?#\\]*)(/[^?#\\]*)")
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Where clouds keep the secrets of their machines; the link-local ones are refused as such.
METADATA = frozenset({"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"})

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]  # host, port -> addresses; raises TroubleError or RefusedError


class Url(NamedTuple):
    """Of a repository: canonical, without user, query or fragment."""

    scheme: str
    host: str  # lower case; an IPv6 address without brackets
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def parse(text: str, whose: str) -> Url:
    """Raises: RefusedError, which names `whose` address it is and what is wrong with it."""
    if len(text) > MAX_URL_CHARS or not text.isascii() or not text.isprintable() or " " in text:
        raise RefusedError(f"the address of {whose} is longer than {MAX_URL_CHARS} characters or not plain ASCII")
    found = _URL.fullmatch(text)
    if found is None or found[1] not in PORTS:
        raise RefusedError(f"{whose} is at {text[:100]!r}, but only https:// addresses are fetched")
    scheme, authority, path = found.groups()
    if "@" in authority or "%" in authority:
        raise RefusedError(f"the address of {whose} names a user or hides its host: {_masked(authority)[:100]!r}")
    host, port = _split(authority, PORTS[scheme], whose)
    if not path.strip("/"):
        raise RefusedError(f"the address of {whose} names no repository: {text[:100]!r}")
    for part in path.split("/")[1:]:
        plain = unquote(part)
        if plain in {".", ".."} or "/" in plain or "\\" in plain or not plain.isprintable():
            raise RefusedError(f"the path in the address of {whose} is not plain: {path[:100]!r}")
    return Url(scheme, host, port, path.rstrip("/"))


def submodule(text: str, parent: Url, own: Url, whose: str) -> Url:
    """The address of a submodule: absolute, or relative to `parent` as git has it (gitmodules(5)).

    Raises: RefusedError.
    """
    url = _relative(text, parent, whose) if text.startswith(("./", "../")) else parse(text, whose)
    if url.scheme != "https" and (own.scheme != "http" or (url.host, url.port) != (own.host, own.port)):
        raise RefusedError(f"{whose} is at an http:// address, but only https:// addresses are fetched")
    return url


def pin(url: Url, own: Url, resolve: Resolve, whose: str) -> str:
    """`host:port:address,...` for http.curloptResolve, empty when the host is an address itself.

    git connects to exactly these addresses, so that the name cannot mean something else a moment later.
    Raises: RefusedError when one of them is out of bounds; TroubleError.
    """
    found = resolved(url, resolve, whose, is_own=url.host == own.host)
    if _literal(url.host) is not None:
        return ""
    return f"{url.host}:{url.port}:{','.join(f'[{each}]' if ':' in each else each for each in found)}"


def resolved(url: Url, resolve: Resolve, whose: str, *, is_own: bool) -> list[str]:
    """The addresses behind the name, each looked at. Raises: as `pin`."""
    found = resolve(url.host, url.port)
    for each in found:
        if said := complaint(each, is_own=is_own):
            raise RefusedError(f"{whose} is at {url.host}, which is {said} ({each}): nothing is fetched from there")
    return found


def complaint(address: str, *, is_own: bool) -> str | None:
    """Why nothing is fetched from this address, or None. `is_own`: the administrator named this host."""
    try:
        whole = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "no address"
    kinds = [_kind(each, is_own=is_own) for each in (*_embedded(whole), whole)]
    return next((each for each in kinds if each), None)


def _kind(address: Ip, *, is_own: bool) -> str | None:
    is_v4 = address.version == 4
    if str(address) in METADATA:
        return "a cloud's metadata service"
    if address.is_loopback or (is_v4 and address in ipaddress.ip_network("0.0.0.0/8")):
        return "this very machine"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast or address.is_unspecified or (is_v4 and address.is_reserved):
        return "no address of a single host"
    return None if address.is_global or is_own else "a private address"


def _embedded(address: Ip) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address stands for: mapped, 6to4, Teredo, NAT64, IPv4-compatible."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in ipaddress.ip_network("64:ff9b::/96") or (int(address) >> 32 == 0 and int(address) > 1):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _split(authority: str, default: int, whose: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", authority)
    host = found[1].lower().strip("[]") if found else ""
    port = int(found[2] or default) if found else 0
    if not (_literal(host) or _NAME.fullmatch(host)) or not 0 < port < 65536:
        raise RefusedError(f"the address of {whose} names no host: {authority[:100]!r}")
    return host, port


def _literal(host: str) -> Ip | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _relative(text: str, parent: Url, whose: str) -> Url:
    parts, rest = parent.path.strip("/").split("/"), text
    while rest.startswith(("./", "../")):
        up, _, rest = rest.partition("/")
        if up == "..":
            if not parts:
                raise RefusedError(f"the address of {whose} leads out of {parent.origin}: {text[:100]!r}")
            parts.pop()
    return parse(f"{parent.origin}/{'/'.join([*parts, rest])}", whose)


def _masked(authority: str) -> str:
    """Whoever put a password there need not read it in a log."""
    return f"...@{authority.rpartition('@')[2]}" if "@" in authority else authority
