"""A firmware repository that Kiln follows."""

import datetime
import enum
import re
from dataclasses import dataclass, field
from typing import NewType

RepositoryId = NewType("RepositoryId", str)  # `github/acme/blink`, or `gitlab:git.lan/acme/blink` on another host

MAX_PATH_CHARS = 180
MAX_HOST_CHARS = 100
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){0,8}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9]\d{0,4})?")


class Forge(enum.Enum):
    """Where repositories live; decides how a delivery is authenticated and decoded."""

    GITHUB = "github"
    GITLAB = "gitlab"
    LOCAL = "local"  # any git repository without an API; our hook sends GitHub-shaped deliveries


HOSTS = {Forge.GITHUB: "github.com", Forge.GITLAB: "gitlab.com", Forge.LOCAL: ""}  # the hosts that need no mention


class Requests(enum.Enum):
    """What becomes of a request from a fork."""

    APPROVE = "approve"  # each of its commits waits until somebody with the right says yes
    BUILD = "build"  # built at once: in the sandbox, without secrets, never signed, never released
    IGNORE = "ignore"


class Check(enum.Enum):
    """How GitLab's deliveries prove where they come from; our record decides, never the delivery."""

    TOKEN = "token"  # noqa: S105  # X-Gitlab-Token; on GitHub: the signature, there is nothing else
    SIGNATURE = "signature"  # Standard Webhooks, GitLab's signing token


def is_path(text: str) -> bool:
    """`owner/name` (GitLab: with subgroups), each part a plain name that never starts with `-` or `.`."""
    return len(text) <= MAX_PATH_CHARS and _PATH.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """A host in lower case, perhaps with a port."""
    return len(text) <= MAX_HOST_CHARS and _HOST.fullmatch(text) is not None


def home(forge: Forge, host: str = "") -> str:
    """The first part of a repository's id: the forge, and its host when it is not the usual one."""
    return forge.value if host in ("", HOSTS[forge]) else f"{forge.value}:{host}"


def parse_home(text: str) -> tuple[Forge, str]:
    """The reverse of :func:`home`. Raises: ValueError."""
    name, colon, host = text.partition(":")
    forge = Forge(name)
    if colon and (not is_host(host) or host == HOSTS[forge]):
        raise ValueError(text)
    return forge, host or HOSTS[forge]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Our own record. The URL that we fetch from comes from here, never from a delivery."""

    id: RepositoryId  # for ever: devices are enrolled under it, whatever the forge calls it later
    forge: Forge
    host: str = ""  # `github.com`, `git.lan:8443`; empty for a local one
    path: str  # `owner/name`, as the forge has it now
    url: str = field(repr=False)  # may hold credentials
    secret: str = field(repr=False)  # of its webhook
    old_secret: str = field(default="", repr=False)  # still taken, until then
    old_secret_until: datetime.datetime | None = None
    check: Check = Check.TOKEN
    default_branch: str = "main"
    public: bool = False  # anonymous visitors may see its builds, artifacts and badge
    connection: str = ""  # by which we speak to its forge; empty: we cannot
    forge_id: str = ""  # the forge's own number for it; empty: not known
    requests: Requests = Requests.APPROVE
    note: str = ""  # what is wrong with it, for people; empty: nothing

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_connected(self) -> bool:
        return self.connection != ""

    def secrets(self, now: datetime.datetime) -> tuple[str, ...]:
        """The secrets that a delivery may be signed with at this moment."""
        if self.old_secret and self.old_secret_until is not None and now < self.old_secret_until:
            return (self.secret, self.old_secret)
        return (self.secret,)


def repository_id(forge: Forge, path: str, host: str = "") -> RepositoryId:
    return RepositoryId(f"{home(forge, host)}/{path}")
