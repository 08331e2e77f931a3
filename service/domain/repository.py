"""A firmware repository that Kiln follows."""

import enum
import re
from dataclasses import dataclass, field
from typing import NewType

RepositoryId = NewType("RepositoryId", str)  # `<forge>/<path>`, for example `github/acme/blink`

MAX_PATH_CHARS = 180
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){0,8}")


class Forge(enum.Enum):
    """Where repositories live; decides how a delivery is authenticated and decoded."""

    GITHUB = "github"
    GITLAB = "gitlab"
    LOCAL = "local"  # a bare repository on this box or LAN; its hook sends GitHub-shaped deliveries


def is_path(text: str) -> bool:
    """`owner/name` (GitLab: with subgroups), each part a plain name that never starts with `-` or `.`."""
    return len(text) <= MAX_PATH_CHARS and _PATH.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Our own record. The URL that we fetch from comes from here, never from a delivery."""

    forge: Forge
    path: str  # `owner/name`
    url: str = field(repr=False)  # may hold credentials
    secret: str = field(repr=False)  # of its webhook
    default_branch: str = "main"
    public: bool = False  # anonymous visitors may see its builds, artifacts and badge

    @property
    def id(self) -> RepositoryId:
        return RepositoryId(f"{self.forge.value}/{self.path}")

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]
