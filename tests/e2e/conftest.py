"""A Kiln for each file, and a new user of it."""

import pathlib
from collections.abc import Iterator

import pytest

from deploy.demo.parts import Kiln
from tests.e2e.newcomer import Newcomer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("newcomer")


@pytest.fixture(scope="module")
def user(folder: pathlib.Path) -> Iterator[Newcomer]:
    kiln = Kiln(folder / "data", {})
    kiln.start()
    yield Newcomer(folder, kiln)
    kiln.stop()
