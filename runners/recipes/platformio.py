"""PlatformIO: `pio run` for one environment of ``platformio.ini``, with what is installed in the build image.

The container has no network, so platforms, frameworks, tools and libraries are those that the operator installed
when the image was made, and those that the repository holds (``lib/``).
"""

from collections.abc import Mapping

from runners.contract.family import FAMILIES, PLATFORMIO
from runners.contract.job import Annotation, Job, Size
from runners.contract.platformio import ENVIRONMENT, INI
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes import gcc
from runners.recipes.recipe import Made, Staged, pack_tree
from runners.recipes.snapshot import Snapshot

SAID = "said"  # the first part of what was printed, laid beside the outputs
_NAMES = FAMILIES[PLATFORMIO].artifacts


class PlatformIO:
    """`runners.recipes.recipe.Recipe`."""

    image = "kiln/platformio:current"
    runs_programs = True

    def stage(self, job: Job, snapshot: Snapshot, image: Image) -> Staged:
        if not ENVIRONMENT.fullmatch(job.board):
            raise RefusedError(f"{job.board[:80]!a} is not the name of an environment that Kiln can build")
        if job.options.overlay:
            raise RefusedError('"overlay" is for MicroPython: an environment has build_src_filter and build_flags')
        below = snapshot.under(job.options.source)
        if INI not in below:
            raise RefusedError(f"there is no {INI} in {job.options.source}")
        files, links = snapshot.plain(below)
        tree = {f"in/{path}": content for path, content in files.items()}
        tree["job"] = f"{job.board} {max(1, int(job.limits.cpus))}\n".encode()
        origins = {path: below[path] for path in files}
        return Staged(tree=pack_tree(tree, ()), origins=origins, warnings=links)

    def annotations(self, log: str, staged: Staged) -> tuple[Annotation, ...]:
        found = gcc.said(log, gcc.ERRORS)
        return tuple(
            Annotation(path=origin, line=each.line, text=each.text)
            for each in found
            if (origin := staged.origins.get(each.path))
        )

    def made(self, job: Job, files: Mapping[str, bytes]) -> Made:
        found = {name: files[name] for name in _NAMES if files.get(name)}
        if not found:
            raise RefusedError(f"environment {job.board} made none of {', '.join(_NAMES)}")
        text = files.get(SAID, b"").decode("utf-8", "replace")
        return Made(
            artifacts=found,
            sizes=tuple(Size(name=name, size_bytes=len(content)) for name, content in found.items()),
            warnings=tuple(gcc.said(text, gcc.WARNINGS, folder=job.options.source)),
        )
