"""One job from start to end: fetch, stage, run, judge, take out, upload. Does no I/O but through its ports."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from runners import artifacts
from runners.contract.job import FILES_ARTIFACT, MAX_MESSAGE_CHARS, Annotation, Artifact, Blob, Job, Outcome, Result
from runners.engine import Container, ContainerSpec, End, Engine
from runners.errors import ContainerTimeoutError, EngineError, ImageMissingError, RefusedError, TransportError
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import Recipe, Staged
from runners.recipes.snapshot import Snapshot

logger = logging.getLogger("kiln.runner")

RECIPES: dict[str, Recipe] = {"micropython": MicroPython()}

DISK_IS_FULL = "No space left on device"  # strerror(ENOSPC), in the locale that build-images/entry sets
MAX_REPORT_BYTES = 200  # the two lines before the outputs
_REPORT = re.compile(rb"started\nexit=(\d{1,3}) oom=(\d{1,9}) blocks=(\d{1,12}) inodes=(\d{1,12})\n")


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
class Report:
    """What the first process of the container said about the recipe."""

    exit_code: int
    oom_kills: int
    free_blocks: int
    free_inodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs jobs, one at a time or several in threads."""

    name: str  # whose containers they are
    engine: Engine
    service: Service
    clock: Callable[[], float]  # monotonic seconds
    is_cancelled: Callable[[str], bool] = lambda _: False
    recipes: Mapping[str, Recipe] = field(default_factory=lambda: RECIPES)  # by family

    def run(self, job: Job) -> Result:
        """What became of the job. Never raises for what can go wrong with a job: that is a value too."""
        began = self.clock()
        try:
            result = self._run(job)
        except RefusedError as error:
            result = Result(job=job.id, outcome=Outcome.REFUSED, message=_sentence(str(error)))
        except (EngineError, TransportError) as error:
            result = Result(job=job.id, outcome=Outcome.ERROR, message=_sentence(str(error)))
        if result.outcome is not Outcome.SUCCEEDED and self.is_cancelled(job.id):
            result = Result(job=job.id, outcome=Outcome.CANCELLED, message="cancelled", image=result.image)
        return replace(result, seconds=round(self.clock() - began, 3))

    def _run(self, job: Job) -> Result:
        recipe = self.recipes.get(job.family)
        if recipe is None:
            raise ImageMissingError(f"of family {job.family}")
        image = self.engine.image(recipe.image)
        staged = recipe.stage(job, Snapshot.parse(self.service.fetch(job.source)), image)
        spec = ContainerSpec(job=job.id, runner=self.name, image=image.name, limits=job.limits)
        with self.engine.start(spec) as container, self.service.log(job.log_url) as sink:
            if not container.is_resumed:
                container.feed(staged.tree)
            result = self._follow(job, recipe, staged, container, sink)
        return replace(result, image=image.digest)

    def _follow(self, job: Job, recipe: Recipe, staged: Staged, container: Container, sink: Log) -> Result:
        kept = bytearray()
        try:
            for chunk in _capped(container.log(timeout_s=job.limits.time_s), job.limits.log_bytes):
                kept += chunk
                sink.write(chunk)
        except ContainerTimeoutError as error:
            return Result(job=job.id, outcome=Outcome.TIMED_OUT, message=str(error))
        end, output = container.end(), container.output()
        report, rest = _report(output)
        log = kept.decode("utf-8", "replace")
        outcome = judge(end, report, log)
        if outcome is not Outcome.SUCCEEDED:
            found = recipe.annotations(log, staged) if outcome is Outcome.FAILED else ()
            message = _message(outcome, job, log, found, report)
            return Result(job=job.id, outcome=outcome, message=message, annotations=found)
        files = artifacts.unpack(_chain(rest, output), job.limits)
        recipe.check(job, files)
        made = self._upload(job, FILES_ARTIFACT, artifacts.pack(files))
        return Result(job=job.id, outcome=outcome, artifacts=(made,))

    def _upload(self, job: Job, name: str, content: bytes) -> Artifact:
        url = job.uploads.get(name)
        if url is None:
            raise TransportError(f"the job has no address to upload {name} to")
        self.service.upload(url, content)
        return artifacts.describe(name, content)


def judge(end: End, report: Report | None, log: str) -> Outcome:
    """Tell apart why a build ended. The first that fits, worst first."""
    if end.is_out_of_memory or (report and report.oom_kills and report.exit_code):
        return Outcome.OUT_OF_MEMORY
    if report and (report.free_blocks == 0 or report.free_inodes == 0):
        return Outcome.DISK_FULL  # even where the recipe says that all is well: something was cut short
    if (report is None or report.exit_code) and DISK_IS_FULL in log:
        return Outcome.DISK_FULL
    return Outcome.SUCCEEDED if report and not report.exit_code and not end.exit_code else Outcome.FAILED


def _report(output: Iterator[bytes]) -> tuple[Report | None, bytes]:
    """The lines before the outputs, and the bytes after them that were read along. None when it never came to that."""
    head = b""
    while head.count(b"\n") < 2 and len(head) < MAX_REPORT_BYTES and (chunk := next(output, b"")):
        head += chunk
    found = _REPORT.match(head)
    if not found:
        return None, b""
    exit_code, oom_kills, blocks, inodes = (int(each) for each in found.groups())
    report = Report(exit_code=exit_code, oom_kills=oom_kills, free_blocks=blocks, free_inodes=inodes)
    return report, head[found.end() :]


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _capped(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The first `limit` bytes and a clear mark; what comes after is read and dropped, as the build goes on."""
    left = limit
    for chunk in chunks:
        if left < 0:
            continue
        yield chunk[:left]
        if len(chunk) > left:
            yield f"\n[kiln: log cut at {limit} bytes]\n".encode()
            left = -1
        else:
            left -= len(chunk)


def _message(outcome: Outcome, job: Job, log: str, found: tuple[Annotation, ...], report: Report | None) -> str:
    if outcome is Outcome.OUT_OF_MEMORY:
        return f"out of memory: the build needs more than {job.limits.memory_bytes >> 20} MiB"
    if outcome is Outcome.DISK_FULL:
        return f"disk full: the build needs more than {job.limits.disk_bytes >> 20} MiB of work area"
    if found:
        first, more = found[0], len(found) - 1
        rest = f" (and {more} more)" if more else ""
        return _sentence(f"{first.path} line {first.line}: {first.text}{rest}")
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    code = f"the build ended with exit code {report.exit_code}" if report else "the build broke off"
    return _sentence(f"{code}: {last}" if last else code)


def _sentence(text: str) -> str:
    """One printable line of a bounded length, whatever a build has put into it."""
    return "".join(each if each.isprintable() else " " for each in text)[:MAX_MESSAGE_CHARS]
