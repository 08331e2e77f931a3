"""A world with one forge, and what following a repository there takes."""

from dataclasses import dataclass, field

from service.domain.repository import Repository
from service.flows import connect, follow
from service.forge import ForgeApi, HookTarget, RemoteHook
from tests.fakes.forge import MemoryForge
from tests.unit.service.conftest import World

TOKEN = "ghp_a-token-that-nobody-may-see"
URL = "https://github.com/Acme/Blink"


@dataclass
class Watched(MemoryForge):
    """Keeps what the webhook was registered with."""

    targets: list[HookTarget] = field(default_factory=list)
    hook_error: Exception | None = None

    def ensure_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        if self.hook_error is not None:
            raise self.hook_error
        self.targets.append(target)
        return super().ensure_hook(target, hook)

    def remove_hook(self, hook: str) -> None:
        if self.hook_error is not None:
            raise self.hook_error
        super().remove_hook(hook)


class OneForge:
    """`service.forge.Forges` with the same forge behind every connection; `seen` is what `find` answers."""

    def __init__(self, forge: Watched) -> None:
        self.forge = forge
        self.seen: str | None = None

    def api(self, repository: Repository) -> ForgeApi | None:
        return self.forge if repository.is_connected else None

    def find(self, url: str) -> tuple[str, ForgeApi] | None:
        return None if self.seen is None else (self.seen, self.forge)


@dataclass
class Stage:
    world: World
    forge: Watched
    forges: OneForge
    parts: follow.Parts
    changes: list[str]

    def follow(self, url: str = URL, **fields: object) -> follow.Followed:
        return follow.follow(follow.Wanted(url=url, **fields), self.parts)  # type: ignore[arg-type]


def connect_parts(stage: Stage) -> connect.Parts:
    return connect.Parts(connections=stage.parts.connections, clock=stage.world.clock)
