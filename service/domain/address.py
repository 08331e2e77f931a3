"""Addresses of repositories, as people copy them from a browser or a clone button."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from service.domain.errors import BadInputError
from service.domain.repository import Forge, is_host, is_path

MAX_URL_CHARS = 500
_PORTS = {"https": 443, "http": 80, "file": None}
_KNOWN = {"github.com": Forge.GITHUB, "gitlab.com": Forge.GITLAB}
_MARKS = ("/-/", "/tree/", "/blob/", "/commits", "/pulls", "/issues")  # where a browser's address goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Of a repository at a host; of a folder of this machine, `host` is empty and `path` is the folder."""

    scheme: str
    host: str
    path: str
    username: str = ""
    password: str = field(default="", repr=False)
    typed: str = ""  # the path as it was typed

    @property
    def forge(self) -> Forge | None:
        """As far as the host tells."""
        return Forge.LOCAL if self.scheme == "file" else _KNOWN.get(self.host)

    @property
    def clone_url(self) -> str:
        return f"file://{self.path}" if self.scheme == "file" else f"{self.scheme}://{self.host}/{self.path}.git"

    @property
    def plain_url(self) -> str:
        """For a git server that is no forge: the path as it was typed."""
        return f"{self.scheme}://{self.host}{self.typed}" if self.host else self.clone_url


def parse_address(url: str) -> Address:
    """Raises: BadInputError naming what to fix. `clone_url` is without the name and password that it may hold."""
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url or "\\" in url:
        raise BadInputError(f"an address has at most {MAX_URL_CHARS} characters, without blanks or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInputError(f"not an address: {url[:80]!r}") from error
    if parts.scheme not in _PORTS:
        raise BadInputError("an address starts with https://, http:// or file://; for SSH addresses give the https one")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/") or ".." in parts.path.split("/"):
            raise BadInputError("a folder of this machine is written file:///its/path.git")
        return Address(scheme="file", host="", path=parts.path)
    if parts.query or parts.fragment:
        raise BadInputError("leave out what follows ? or # in the address")
    host = (parts.hostname or "").lower() + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")
    path = parts.path.strip("/")
    for mark in _MARKS:
        path = path.partition(mark)[0]
    path = path.removesuffix(".git")
    if not is_host(host) or not is_path(path):
        raise BadInputError(f"an address is like https://github.com/owner/name, not {url[:80]!r}")
    username, password = (unquote(each or "") for each in (parts.username, parts.password))
    return Address(scheme=parts.scheme, host=host, path=path, username=username, password=password, typed=parts.path)
