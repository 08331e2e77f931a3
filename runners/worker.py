"""Takes jobs from the durable queue: the only module of the runners that knows the durable engine, DBOS.

A job is one workflow whose id is the job's. Its container is named after it, so when this process dies and
comes back, DBOS starts the workflow again and the runner resumes the container. Steps are at-least-once:
running a job again ends in the same bytes under the same keys.
"""

import contextlib
import fcntl
import hashlib
import logging
import pathlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dbos import DBOS
from dbos._serialization import DBOSPortableJSON

from runners.contract.download import DOWNLOAD_WORKFLOW, Download
from runners.contract.job import OLD_WORKFLOW, QUEUE, WORKFLOW, ContractError, Job, Outcome, Result
from runners.contract.source import FETCH_WORKFLOW, Fetch, Fetched
from runners.download import Downloader
from runners.errors import NameTakenError
from runners.fetch import Fetcher
from runners.queue_thread import Watch, work_promptly
from runners.run import Runner

logger = logging.getLogger("kiln.runner")

APPLICATION = "kiln"  # of service and runners alike: they share one engine
VERSION = "1"  # a constant: DBOS would hash the code, and leave jobs in flight behind at every upgrade
TRIES = 3  # of a job whose outcome is ERROR, that is: our trouble
RETRY_AFTER_S = (2.0, 10.0)
FETCH_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # a forge may be away for two minutes
SLOW_FETCHES = 2  # that used up all their time; more would only hold a place that others wait for
RECOVERIES = 20  # a job that takes its runner down more often than this is given up
WATCH_S = 1.0  # between two looks for cancelled jobs
NAME_PATIENCE_S = 10.0  # how long a predecessor of the same name may take to end
STOP_PATIENCE_S = 5  # how long jobs may go on after we were told to stop
UNFINISHED = ["PENDING", "ENQUEUED", "DELAYED"]

Work = TypeVar("Work", Fetch, Download)
Run = Callable[[dict[str, Any]], dict[str, Any]]  # a job's JSON -> its result's


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What `serve` is told by its environment."""

    database_url: str = field(repr=False)  # may hold a password
    name: str = "runner-1"
    jobs: int = 4  # at once

    @property
    def label(self) -> str:
        """Whose containers ours are: the name alone is not unique among several Kilns on one machine."""
        return f"{self.name}@{hashlib.sha256(self.database_url.encode()).hexdigest()[:8]}"


class Running:
    """The jobs that run here, and what others have decided about them meanwhile."""

    def __init__(self) -> None:
        self._jobs: set[str] = set()
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._is_handed_back = threading.Event()

    @contextlib.contextmanager
    def job(self, name: str) -> Iterator[None]:
        with self._lock:
            self._jobs.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._jobs.discard(name)
                self._cancelled.discard(name)

    def is_cancelled(self, job: str) -> bool:
        with self._lock:
            return job in self._cancelled

    def newly_cancelled(self) -> list[str]:
        """Jobs that were cancelled since the last look."""
        with self._lock:
            running = sorted(self._jobs - self._cancelled)
        if not running:
            return []
        found = DBOS.list_workflows(workflow_ids=running, status="CANCELLED", load_input=False, load_output=False)
        with self._lock:
            new = [each.workflow_id for each in found if each.workflow_id in self._jobs]
            self._cancelled.update(new)
        return new

    def has_jobs(self) -> bool:
        with self._lock:
            return bool(self._jobs)

    def hand_back(self) -> list[str]:
        """The jobs that are left when we stop. From now on `hold_if_handed_back` does not return."""
        self._is_handed_back.set()
        with self._lock:
            return sorted(self._jobs)

    def hold_if_handed_back(self) -> None:
        """A job whose container we removed must not be written down as failed: the process ends while it waits."""
        if self._is_handed_back.is_set():
            threading.Event().wait()


def serve(
    settings: WorkerSettings,
    runner: Runner,
    fetcher: Fetcher,
    downloader: Downloader,
    *,
    running: Running,
    stop: Callable[[float], bool],
) -> None:
    """Work until `stop(seconds)`, which waits at most that long, answers True.

    Jobs that do not end soon then are handed back: they begin again when a runner of this name comes back. Their
    threads cannot be ended, so the process should be. Raises: NameTakenError, EngineError.
    """
    with _only_one(settings, stop):
        _write_ahead(settings.database_url)
        _prepare(settings)
        _install(runner, running)
        _install_fetching(fetcher, downloader, running)
        DBOS.listen_queues([])  # the one queue has a thread of ours
        DBOS.launch()
        try:
            sweep(settings.label, runner)
            work_promptly(Watch(QUEUE), concurrency=settings.jobs, url=settings.database_url)
            runner.prepare()
            logger.info("runner ready", extra={"runner": settings.label, "jobs": settings.jobs})
            while not stop(WATCH_S):
                _kill_cancelled(runner, running)
        finally:
            DBOS.destroy(workflow_completion_timeout_sec=STOP_PATIENCE_S if running.has_jobs() else 0)
            for job in running.hand_back():
                logger.info("job handed back", extra={"job": job})
                runner.engine.remove(job)


def sweep(label: str, runner: Runner) -> None:
    """Remove containers of this runner whose jobs are over: a dead predecessor could not. Raises: EngineError."""
    runner.engine.remove_waiting(label)
    left = sorted(runner.engine.jobs(label))
    if not left:
        return
    alive = DBOS.list_workflows(workflow_ids=left, status=UNFINISHED, load_input=False, load_output=False)
    for job in set(left) - {each.workflow_id for each in alive}:
        logger.info("orphan removed", extra={"job": job})
        runner.engine.remove(job)


def _kill_cancelled(runner: Runner, running: Running) -> None:
    try:
        for job in running.newly_cancelled():
            logger.info("job cancelled", extra={"job": job})
            runner.engine.remove(job)
    except Exception:  # the database may be away for a moment; the watch goes on
        logger.exception("looking for cancelled jobs failed")


def _prepare(settings: WorkerSettings) -> None:
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": settings.database_url,
            "executor_id": settings.name,  # stable, so that we recover our own jobs
            "application_version": VERSION,
            "serializer": DBOSPortableJSON,
            "log_level": "WARNING",
            "max_executor_threads": 4 * settings.jobs,
        }
    )


def _install(runner: Runner, running: Running) -> None:
    def run(job: dict[str, Any]) -> dict[str, Any]:
        parsed = Job.from_json(job)
        with running.job(parsed.id):
            result = runner.run(parsed)
            running.hold_if_handed_back()
        extra = {"job": parsed.id, "outcome": result.outcome.value, "seconds": result.seconds}
        logger.info("job finished", extra=extra)
        return result.to_json()

    run_step = DBOS.step(name="run")(run)

    def tried(job: dict[str, Any], first: Run) -> dict[str, Any]:
        try:
            Job.from_json(job)
        except ContractError as error:
            return Result(job=str(DBOS.workflow_id), outcome=Outcome.ERROR, message=str(error)[:500]).to_json()
        result = first(job)
        for wait_s in RETRY_AFTER_S[: TRIES - 1]:
            if result["outcome"] != Outcome.ERROR.value:
                break
            DBOS.sleep(wait_s)
            result = run_step(job)
        return result

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=RECOVERIES)
    def run_job(job: dict[str, Any]) -> dict[str, Any]:
        return tried(job, run)  # no checkpoint: the workflow's own result, which is next, says the same

    @DBOS.workflow(name=OLD_WORKFLOW, max_recovery_attempts=RECOVERIES)
    def run_old_job(job: dict[str, Any]) -> dict[str, Any]:
        return tried(job, run_step)


def _install_fetching(fetcher: Fetcher, downloader: Downloader, running: Running) -> None:
    _install_network_work("fetch", FETCH_WORKFLOW, Fetch.from_json, fetcher.run, running)
    _install_network_work("download", DOWNLOAD_WORKFLOW, Download.from_json, downloader.run, running)


def _install_network_work(
    name: str,
    workflow: str,
    parse: Callable[[dict[str, Any]], Work],
    run: Callable[[Work], Fetched],
    running: Running,
) -> None:
    """What is tried again, for longer than a job: a server may be away. `name` is of its step."""

    @DBOS.step(name=name)
    def work_step(work: dict[str, Any]) -> dict[str, Any]:
        parsed = parse(work)
        with running.job(parsed.id):
            result = run(parsed)
            running.hold_if_handed_back()
        extra = {"fetch": parsed.id, "outcome": result.outcome.value, "seconds": result.seconds}
        logger.info("fetch finished", extra=extra)
        return result.to_json()

    @DBOS.workflow(name=workflow, max_recovery_attempts=RECOVERIES)
    def work_workflow(work: dict[str, Any]) -> dict[str, Any]:
        try:
            parse(work)
        except ContractError as error:
            return Fetched(fetch=str(DBOS.workflow_id), outcome=Outcome.ERROR, message=str(error)[:500]).to_json()
        result, slow = work_step(work), 0
        for wait_s in FETCH_AGAIN_S:
            slow += result["outcome"] == Outcome.TIMED_OUT.value
            if result["outcome"] not in {Outcome.ERROR.value, Outcome.TIMED_OUT.value} or slow == SLOW_FETCHES:
                break
            DBOS.sleep(wait_s)
            result = work_step(work)
        return result


@contextlib.contextmanager
def _only_one(settings: WorkerSettings, stop: Callable[[float], bool]) -> Iterator[None]:
    """Hold the runner's name on this machine: two of one name would take each other's jobs for abandoned."""
    path = pathlib.Path(tempfile.gettempdir()) / f"kiln-{settings.label.replace('@', '-')}.lock"
    with path.open("a") as lock:
        for _ in range(int(NAME_PATIENCE_S / 0.1)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop(0.1):
                    break
        else:
            raise NameTakenError(settings.name)
        yield


def _write_ahead(url: str) -> None:
    """Put an SQLite file into WAL mode: with a rollback journal readers and writers starve each other."""
    if url.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
            connection.execute("pragma journal_mode=wal")
