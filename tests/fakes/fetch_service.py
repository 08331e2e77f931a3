from dataclasses import dataclass, field

from runners.contract.source import Credential
from runners.errors import RefusedError


@dataclass
class InMemoryService:
    """`runners.fetch.Service`."""

    credential: Credential | None = None
    refusal: str = ""
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def access(self, url: str) -> Credential | None:
        self.asked.append(url)
        if self.refusal:
            raise RefusedError(self.refusal)
        return self.credential

    def upload(self, url: str, content: bytes) -> None:
        self.uploads[url] = content
