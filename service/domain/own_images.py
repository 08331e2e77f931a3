"""Which repositories may build in which images of the operator's own."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from runners.contract.own_image import IMAGE, MAX_IMAGE_CHARS, adopted
from service.domain.errors import BadInputError
from service.domain.repository import RepositoryId, is_path, parse_home

SETTING = "KILN_OWN_IMAGES"
MAX_FILE_BYTES = 256 << 10
MAX_IMAGES = 256
MAX_REPOSITORIES = 1000  # of one image


@dataclass(frozen=True, slots=True)
class OwnImages:
    """Nobody may use any, unless it is said here."""

    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)  # adopted image -> repositories' ids

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of lines like ``"acme/zephyr:3.7" = ["github/acme/sensor"]``. Raises: BadInputError naming what to fix."""
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise BadInputError(f"it is not TOML: {error}") from error
        if len(table) > MAX_IMAGES:
            raise BadInputError(f"it names {len(table)} images, at most {MAX_IMAGES} are allowed")
        return cls({_image(name): _repositories(name, value) for name, value in table.items()})

    def check(self, image: str, repository: RepositoryId) -> None:
        """Raises: BadInputError, for the person who pushed, unless `repository` may build in `image`."""
        if repository not in self.allowed.get(adopted(image), frozenset()):
            raise BadInputError(
                f"{repository} may not build in the image {image}: the operator of this Kiln allows it by {SETTING}"
            )


def _image(name: str) -> str:
    if len(name) > MAX_IMAGE_CHARS or not IMAGE.fullmatch(name):
        raise BadInputError(f"an image has a name like acme/zephyr or acme/zephyr:3.7, not {name[:80]!r}")
    return adopted(name)


def _repositories(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > MAX_REPOSITORIES:
        raise BadInputError(f"{name} needs a list of at most {MAX_REPOSITORIES} repositories")
    for each in value:
        if not isinstance(each, str) or not _is_repository(each):
            raise BadInputError(f"{name}: a repository is named like github/acme/sensor, not {str(each)[:80]!r}")
    return frozenset(value)


def _is_repository(text: str) -> bool:
    where, _, path = text.partition("/")
    try:
        parse_home(where)
    except ValueError:
        return False
    return is_path(path)
