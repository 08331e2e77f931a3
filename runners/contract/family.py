"""The families of boards: what a job of each may make, and whether boards update themselves by it."""

from dataclasses import dataclass

from runners.contract.job import FILES_ARTIFACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Boards that share a build image and a recipe."""

    name: str
    artifacts: tuple[str, ...]  # every name that a job of it may upload
    has_bundles: bool  # FILES_ARTIFACT becomes a signed bundle, which boards fetch by themselves


FAMILIES = {each.name: each for each in (Family(name="micropython", artifacts=(FILES_ARTIFACT,), has_bundles=True),)}
