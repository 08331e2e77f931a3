"""The records of one repository."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.contract.accept_stage import World


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()
