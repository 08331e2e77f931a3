import io
import tarfile
from collections.abc import Iterator, Mapping

from service.domain.errors import NotFoundError
from service.domain.repository import Repository


class FolderSources:
    """`service.ports.Sources` with the same files at every commit; counts what is asked of it."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.gone: set[str] = set()
        self.fetched: list[str] = []
        self.refs: dict[str, str] = {}  # of every repository
        self.said: dict[str, str] = {}  # messages by commit

    def fetch(self, repository: Repository, commit: str) -> Iterator[bytes]:
        self.fetched.append(commit)
        if commit in self.gone:
            raise NotFoundError("the commit is gone")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, content in sorted(self.files.items()):
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        yield buffer.getvalue()

    def message(self, repository: Repository, commit: str) -> str:
        if commit in self.gone:
            raise NotFoundError("the commit is gone")
        return self.said.get(commit, "")

    def heads(self, repository: Repository) -> dict[str, str]:
        return self.refs
