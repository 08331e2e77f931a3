"""One job from start to end: fetch, stage, run, judge, take out, upload. Does no I/O but through its ports."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from runners import artifacts
from runners.contract.job import MAX_WARNINGS, Annotation, Artifact, Blob, Job, Limits, Outcome, Result
from runners.engine import Container, ContainerSpec, Engine
from runners.errors import ContainerTimeoutError, EngineError, ImageMissingError, TransportError
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import Recipe, Staged
from runners.recipes.snapshot import Snapshot
from runners.verdict import Report, capped, chain, ended, judge, read_report, sentence

logger = logging.getLogger("kiln.runner")

RECIPES: dict[str, Recipe] = {"micropython": MicroPython()}


class Log(Protocol):
    """Where a job's log goes. A context manager: leaving it sends the rest."""

    def write(self, content: bytes) -> None:
        """Never blocks for long and never raises: a build outlives its log."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Service(Protocol):
    """The service as a job sees it. Each call retries by itself, long enough to survive a restart."""

    def fetch(self, blob: Blob) -> bytes:
        """Bytes whose size and digest are the promised ones. Raises: TransportError."""

    def log(self, url: str) -> Log: ...

    def upload(self, url: str, content: bytes) -> None:
        """Safe to repeat. Raises: TransportError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs jobs, one at a time or several in threads."""

    name: str  # whose containers they are
    engine: Engine
    service: Service
    clock: Callable[[], float]  # monotonic seconds
    is_cancelled: Callable[[str], bool] = lambda _: False
    recipes: Mapping[str, Recipe] = field(default_factory=lambda: RECIPES)  # by family

    def prepare(self) -> None:
        """Have containers started ahead for the family of most repositories, so that the first push is fast, too."""
        with contextlib.suppress(EngineError):  # the image may not be there; other families wait for their first job
            image = self.engine.image(MicroPython.image)
            self.engine.prepare(image=image.digest, runner=self.name, limits=Limits())

    def run(self, job: Job) -> Result:
        """What became of the job. Never raises for what can go wrong with a job: that is a value too."""
        return ended(
            lambda: self._run(job),
            lambda outcome, message: Result(job=job.id, outcome=outcome, message=message),
            clock=self.clock,
            is_cancelled=lambda: self.is_cancelled(job.id),
        )

    def _run(self, job: Job) -> Result:
        recipe = self.recipes.get(job.family)
        if recipe is None:
            raise ImageMissingError(f"of family {job.family}")
        image = self.engine.image(recipe.image)
        staged = recipe.stage(job, Snapshot.parse(self.service.fetch(job.source)), image)
        spec = ContainerSpec(job=job.id, runner=self.name, image=image.digest, limits=job.limits)
        with self.engine.start(spec) as container, self.service.log(job.log_url) as sink:
            if not container.is_resumed:
                container.feed(staged.tree)
            result = self._follow(job, recipe, staged, container, sink)
        return replace(result, image=image.digest)

    def _follow(self, job: Job, recipe: Recipe, staged: Staged, container: Container, sink: Log) -> Result:
        kept = bytearray()
        try:
            for chunk in capped(container.log(timeout_s=job.limits.time_s), job.limits.log_bytes):
                kept += chunk
                sink.write(chunk)
        except ContainerTimeoutError as error:
            return Result(job=job.id, outcome=Outcome.TIMED_OUT, message=str(error))
        end, output = container.end(), container.output()
        report, rest = read_report(output)
        log = kept.decode("utf-8", "replace")
        outcome = judge(end, report, log)
        if outcome is not Outcome.SUCCEEDED:
            found = recipe.annotations(log, staged) if outcome is Outcome.FAILED else ()
            message = _message(outcome, job, log, found, report)
            warnings = staged.warnings[:MAX_WARNINGS]
            return Result(job=job.id, outcome=outcome, message=message, annotations=found, warnings=warnings)
        made = recipe.made(job, artifacts.unpack(chain(rest, output), job.limits))
        return Result(
            job=job.id,
            outcome=outcome,
            warnings=(staged.warnings + made.warnings)[:MAX_WARNINGS],
            artifacts=tuple(self._upload(job, name, content) for name, content in made.artifacts.items()),
            sizes=made.sizes,
        )

    def _upload(self, job: Job, name: str, content: bytes) -> Artifact:
        url = job.uploads.get(name)
        if url is None:
            raise TransportError(f"the job has no address to upload {name} to")
        self.service.upload(url, content)
        return artifacts.describe(name, content)


def _message(outcome: Outcome, job: Job, log: str, found: tuple[Annotation, ...], report: Report | None) -> str:
    if outcome is Outcome.OUT_OF_MEMORY:
        return f"out of memory: the build needs more than {job.limits.memory_bytes >> 20} MiB"
    if outcome is Outcome.DISK_FULL:
        return f"disk full: the build needs more than {job.limits.disk_bytes >> 20} MiB of work area"
    if found:
        first, more = found[0], len(found) - 1
        rest = f" (and {more} more)" if more else ""
        return sentence(f"{first.path} line {first.line}: {first.text}{rest}")
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    code = f"the build ended with exit code {report.exit_code}" if report else "the build broke off"
    return sentence(f"{code}: {last}" if last else code)
