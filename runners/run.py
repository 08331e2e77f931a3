"""One job from start to end: fetch, stage, run, judge, take out, upload. Does no I/O but through its ports."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from runners import artifacts
from runners.contract import cache
from runners.contract.board import Catalogue
from runners.contract.family import ARDUINO, OWN, PLATFORMIO
from runners.contract.job import MAX_WARNINGS, Annotation, Artifact, Blob, Job, Limits, Outcome, Result
from runners.engine import Container, ContainerSpec, Engine, Image
from runners.errors import ContainerTimeoutError, EngineError, ImageMissingError, RefusedError, TransportError
from runners.flight import Flight, Flights
from runners.lookout import Lookout
from runners.recipes.arduino import Arduino
from runners.recipes.micropython import MicroPython
from runners.recipes.own_image import Own
from runners.recipes.platformio import PlatformIO
from runners.recipes.recipe import Made, Recipe, Staged, image_of
from runners.recipes.snapshot import Snapshot
from runners.sources import Sources
from runners.verdict import ENTRY, Report, capped, chain, ended, expect, judge, read_report, sentence, with_cause

logger = logging.getLogger("kiln.runner")

CATALOGUE = Catalogue.load()
# How a build ends by its source alone: equal jobs that wait for it need not try. Others of our own do.
LASTING = frozenset({Outcome.FAILED, Outcome.OUT_OF_MEMORY, Outcome.TIMED_OUT, Outcome.DISK_FULL, Outcome.REFUSED})
Landed = Made | Result  # what equal jobs that wait take over: what was made, or how it failed
HANDS = 4  # questions to the engine at once
REMEMBERED, MAX_SHARED_BYTES = 16, 4 << 20  # results that equal jobs take from memory: how many, and of what size

RECIPES: dict[str, Recipe] = {
    "micropython": MicroPython(),
    ARDUINO: Arduino(),
    PLATFORMIO: PlatformIO(),
    OWN: Own(),
}


def _hands() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(HANDS, thread_name_prefix="kiln-ask")


class Log(Protocol):
    """Where a job's log goes. A context manager: leaving it sends the rest."""

    def write(self, content: bytes) -> None:
        """Never blocks for long and never raises: a build outlives its log."""

    def end(self) -> None:
        """Nothing more is written: send the rest meanwhile."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Service(Protocol):
    """The service as a job sees it. Each call retries by itself, long enough to survive a restart."""

    def fetch(self, blob: Blob) -> bytes:
        """Bytes whose size and digest are the promised ones. Raises: TransportError."""

    def log(self, url: str) -> Log: ...

    def cached(self, url: str, key: str, *, job: str) -> Result | None:
        """The kept result of this cache key as one of `job`, None when there is none. Never raises."""

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
    now: Callable[[], float] = lambda: 0.0  # Unix seconds; 0: not known
    image: str = ""  # a build image in the place of each recipe's own, for who builds again what was built in it
    sources: Sources = field(init=False)
    flights: Flights[Landed] = field(
        default_factory=lambda: Flights(remembered=REMEMBERED, is_passing=_is_failure), init=False
    )  # by cache key
    lookout: Lookout = field(default_factory=Lookout, init=False)
    hands: ThreadPoolExecutor = field(default_factory=_hands, init=False)  # for what takes no long: asking the engine

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", Sources(self.service.fetch))

    def prepare(self) -> None:
        """Have containers started ahead for the family of most repositories, so that the first push is fast, too."""
        with contextlib.suppress(EngineError):  # the image may not be there; other families wait for their first job
            recipe = MicroPython()
            image, limits = self.engine.image(recipe.image), Limits()
            self.engine.prepare(self._spec("", recipe, image, limits))

    def run(self, job: Job) -> Result:
        """What became of the job. Never raises for what can go wrong with a job: that is a value too."""
        started_at = round(self.now(), 3)
        result = ended(
            lambda: self._run(job),
            lambda outcome, message: Result(job=job.id, outcome=outcome, message=message),
            clock=self.clock,
            is_cancelled=lambda: self.is_cancelled(job.id),
        )
        return replace(result, runner=self.name, started_at=started_at, finished_at=round(self.now(), 3))

    def _run(self, job: Job) -> Result:
        recipe = self.recipes.get(job.family)
        if recipe is None:
            raise ImageMissingError(f"of family {job.family}")
        asked = self.hands.submit(self.engine.image, self.image or image_of(recipe, job))
        snapshot, image = self._snapshot(job), asked.result()
        expect(image, ENTRY)
        staged = recipe.stage(job, snapshot, image)
        looked = self.lookout.begin(staged.look)
        key = cache.key(job, tree=staged.tree, origins=staged.origins, image=image.digest, board=_board(job))
        spec = self._spec(job.id, recipe, image, job.limits)
        with self.flights.board(_flight(job, key), job.id) as flight:
            result = self._known(job, key, flight) or self._build(job, recipe, staged, spec, flight)
            if result.outcome in LASTING and flight.made is None:
                flight.made = result
        made = result.warnings[: MAX_WARNINGS // 2]
        said = tuple(dict.fromkeys(staged.warnings + looked.result()))[: MAX_WARNINGS - len(made)]
        warnings = said + made
        return replace(result, warnings=warnings, source_warnings=len(said), image=image.digest, cache_key=key)

    def _spec(self, job: str, recipe: Recipe, image: Image, limits: Limits) -> ContainerSpec:
        has_localhost = recipe.runs_programs
        return ContainerSpec(job=job, runner=self.name, image=image.digest, limits=limits, has_localhost=has_localhost)

    def _known(self, job: Job, key: str, flight: Flight[Landed]) -> Result | None:
        """What another job made of the same request: just now beside us, or some time ago."""
        found = None
        if flight.made is None and job.cache_url:
            found = self.service.cached(job.cache_url, key, job=job.id)
        other = flight if flight.made is not None else flight.before
        if found is None and other is not None and other.made is not None:
            same = other.made
            found = replace(same, job=job.id) if isinstance(same, Result) else self._keep(job, same)
            found = replace(found, cached_from=other.by)
        if found is not None:
            self.engine.remove_left(job.id, self.name)
        return found

    def _build(self, job: Job, recipe: Recipe, staged: Staged, spec: ContainerSpec, flight: Flight[Landed]) -> Result:
        stopped = Result(job=job.id, outcome=Outcome.CANCELLED)
        if self.is_cancelled(job.id):  # while there was no container that could have been removed
            return stopped
        with self.service.log(job.log_url) as sink:
            with self.engine.start(spec) as container:
                if self.is_cancelled(job.id):
                    return stopped
                if not container.is_resumed:
                    container.feed(staged.tree)
                result = self._follow(job, recipe, staged, container, sink)
            if isinstance(result, Result):
                return result
            sink.end()
            if sum(map(len, result.artifacts.values())) <= MAX_SHARED_BYTES:
                flight.made = result
            return self._keep(job, result)

    def _snapshot(self, job: Job) -> Snapshot:
        snapshot = self.sources.get(job.source)
        if job.dependencies is None:
            return snapshot
        found = self.sources.get(job.dependencies).files
        return replace(snapshot, dependencies={path: data for path, data in found.items() if data is not None})

    def _keep(self, job: Job, made: Made) -> Result:
        """Upload what was made, by the job's own addresses."""
        return Result(
            job=job.id,
            outcome=Outcome.SUCCEEDED,
            warnings=made.warnings,
            artifacts=tuple(self._upload(job, name, content) for name, content in made.artifacts.items()),
            sizes=made.sizes,
        )

    def _follow(self, job: Job, recipe: Recipe, staged: Staged, container: Container, sink: Log) -> Result | Made:
        """How it failed, or what it made."""
        kept = bytearray()
        try:
            for chunk in capped(container.log(timeout_s=job.limits.time_s), job.limits.log_bytes):
                kept += chunk
                sink.write(chunk)
        except ContainerTimeoutError as error:
            said = with_cause(str(error), kept.decode("utf-8", "replace"), job.limits)
            return Result(job=job.id, outcome=Outcome.TIMED_OUT, message=said)
        end, output = container.end(), container.output()
        report, rest = read_report(output)
        log = kept.decode("utf-8", "replace")
        outcome = judge(end, report, log)
        if outcome is not Outcome.SUCCEEDED:
            found = recipe.annotations(log, staged) if outcome is Outcome.FAILED else ()
            message = _message(outcome, job, log, found, report)
            return Result(job=job.id, outcome=outcome, message=message, annotations=found)
        try:
            return recipe.made(job, artifacts.unpack(chain(rest, output), job.limits))
        except RefusedError as error:
            return Result(job=job.id, outcome=Outcome.REFUSED, message=sentence(str(error)))

    def _upload(self, job: Job, name: str, content: bytes) -> Artifact:
        url = job.uploads.get(name)
        if url is None:
            raise TransportError(f"the job has no address to upload {name} to")
        self.service.upload(url, content)
        return artifacts.describe(name, content)


def _is_failure(made: Made | Result) -> bool:
    return isinstance(made, Result)


def _board(job: Job) -> str:
    """What the catalogue says of it: outputs are judged by that. Nothing of a board that a repository names."""
    return repr(CATALOGUE.boards.get(job.board, ""))


def _flight(job: Job, key: str) -> str:
    """A fork's job shares with nobody: what it makes never becomes what a push made."""
    return f"{key} {job.share or job.id}"


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
    return with_cause(sentence(f"{code}: {last}" if last else code), log, job.limits)
