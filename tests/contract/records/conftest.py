"""A database in a file, and a repository that is followed."""

import datetime
import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from service.adapters.database import open_database
from service.domain.repository import Forge, Repository, RepositoryId

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BLINK = Repository(
    id=RepositoryId("local/acme/blink"), forge=Forge.LOCAL, path="acme/blink", url="file:///x", secret="s" * 20
)


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}", durable=False)
    yield engine
    engine.dispose()
