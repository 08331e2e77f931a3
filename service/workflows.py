"""The durable order of the verbs. The only module of the service that knows the durable engine, DBOS.

    receive -> source -> plan (with dependencies that are new) -> jobs in parallel -> collect -> publish -> announce

Each arrow is a checkpoint, but for the one behind a source that is here at once, whose plan shares its checkpoint:
after a crash a build continues behind the last one that was written. A step may run twice (killed after its effect,
before its checkpoint); `service.steps` holds what each does.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, EnqueueOptions
from dbos._serialization import DBOSPortableJSON

from runners.contract.job import QUEUE, WORKFLOW, Outcome, Result
from runners.queue_thread import Watch, work_promptly
from service import steps
from service.adapters.acceptance import Start
from service.domain.arrival import LONGEST_BURST
from service.domain.build import BuildId, Status, status_of, total
from service.domain.errors import OutsideError
from service.flows import dependencies, order, source
from service.ports import Clock
from service.steps import EndedError, FailedError, Observer, Parts, value_of

logger = logging.getLogger("kiln.workflows")

APPLICATION = "kiln"
VERSION = "1"  # a constant: DBOS would hash the code, and leave builds in flight behind at every upgrade
EXECUTOR = "service"
CONTROL = "control"  # the queue of builds
RECEIVE = "receive"  # the workflow that starts the builds of deliveries which came together, and its queue
# One at a time, five a second: while hundreds of deliveries come in each second their builds may wait, and the door
# must not wait for them. No limit by the clock, which may be set back.
RECEIVE_POLL_S = 0.2
STARTS_TOGETHER = 8
BUILD = "build-3"  # the workflow of one build
OLD_BUILD, OLDEST_BUILD = "build-2", "build"  # in orders that it had before: builds that began in one end in it
MAX_BUILDS_AT_ONCE = 8
RESULT_POLL_S = 0.05  # where nobody sees that a job has ended
STEP_TRIES = 8  # with waits from 1 s, doubling: two minutes for another system to come back

Step = source.Step  # a build's id and what else JSON carries -> its outcome


def log_step(step: str, phase: str, build: int) -> None:
    logger.info("step", extra={"step": step, "phase": phase, "build": build})


class Starter:
    """Starts a build's workflow inside the transaction that records its delivery."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._client = DBOSClient(
            system_database_engine=engine, application_name=APPLICATION, serializer=DBOSPortableJSON
        )

    def __call__(self, connection: sa.Connection, starts: Sequence[Start]) -> None:
        """One build starts at once; several share one start, for starting costs more than all else here."""
        if len(starts) == 1:
            self._start(connection, *starts[0])
        else:
            options = _options(RECEIVE, RECEIVE, f"{RECEIVE}-{starts[0].build}")
            self._client.enqueue_in_transaction(connection, options, [list(each) for each in starts])

    def start_each(self, starts: Sequence[Sequence[float] | int]) -> None:
        """Start those that were not started before; a few in each transaction, so that nobody waits for long.

        One that was superseded meanwhile ends as soon as it begins. Kiln 0.1.0 left builds alone, without a time.
        """
        for first in range(0, len(starts), STARTS_TOGETHER):
            with self._engine.begin() as connection:
                for each in starts[first : first + STARTS_TOGETHER]:
                    build, begin_at = (each, 0.0) if isinstance(each, int) else each
                    self._start(connection, int(build), begin_at)

    def stop(self, builds: Sequence[BuildId]) -> None:
        """End their workflows and those of their jobs, begun or not; a runner removes the container of such a job."""
        self._client.cancel_workflows([_name(each) for each in builds], cancel_children=True)

    def _start(self, connection: sa.Connection, build: int, begin_at: float) -> None:
        options = _options(CONTROL, BUILD, _name(build))
        # No longer than anybody waits for, were the clock set back meanwhile.
        wait_s = min(begin_at - self._clock.now().timestamp(), LONGEST_BURST.total_seconds())
        if wait_s > 0:
            options["delay_seconds"] = wait_s
        self._client.enqueue_in_transaction(connection, options, build)


def _name(build: int) -> str:
    """The id of a build's workflow, in whatever order."""
    return f"build-{build}"


def _options(queue: str, workflow: str, name: str) -> EnqueueOptions:
    return {
        "queue_name": queue,
        "workflow_name": workflow,
        "workflow_id": name,
        "app_version": VERSION,
    }


def prepare(engine: sa.Engine) -> None:
    """Make the engine's own tables, so that deliveries can be accepted before :func:`launch`."""
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_engine": engine,
            "system_database_url": engine.url.render_as_string(hide_password=False),
            "executor_id": EXECUTOR,
            "application_version": VERSION,
            "serializer": DBOSPortableJSON,
            "log_level": "WARNING",
            "max_executor_threads": 4 * MAX_BUILDS_AT_ONCE,
        }
    )


def launch(parts: Parts, starter: Starter, *, database_url: str, observe: Observer) -> None:
    """Begin to work on builds, those of before a crash first. One process for each database may do this."""
    watch = Watch(CONTROL)
    _install(parts, starter, watch, observe)
    DBOS.listen_queues([RECEIVE])  # builds have a thread of ours
    DBOS.launch()
    work_promptly(watch, concurrency=MAX_BUILDS_AT_ONCE, url=database_url)
    DBOS.register_queue(
        RECEIVE,
        worker_concurrency=1,
        polling_interval_sec=RECEIVE_POLL_S,
        on_conflict="always_update",
    )


def stop() -> None:
    """Stop at once: what was interrupted continues at the next launch."""
    DBOS.destroy(workflow_completion_timeout_sec=0)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, OutsideError | sa.exc.OperationalError)


def _durable(name: str) -> Callable[[Step], Step]:
    return DBOS.step(name=name, retries_allowed=True, max_attempts=STEP_TRIES, should_retry=_is_passing)


def _install(parts: Parts, starter: Starter, watch: Watch, observe: Observer) -> None:
    def observed(name: str, act: Callable[..., Any]) -> Step:
        def run(build: int, *arguments: Any) -> dict[str, Any]:  # Any: what JSON carries
            observe(name, "begin", build)
            outcome = steps.outcome_of(parts, act, build, *arguments)
            observe(name, "end", build)
            return outcome

        return run

    def step(name: str, act: Callable[..., Any]) -> Step:
        return _durable(name)(observed(name, act))

    def wait_for(workflow: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        return _result_of(_on_runner(workflow, name, value), watch)

    begun = order.begun(observed("source", steps.take_source), observed("plan", steps.lay_out))
    taken = source.by_runner(step("fetched", steps.keep_source), wait_for, parts.fetching.end)
    plan = step("plan", steps.lay_out)
    planned = dependencies.by_runner(plan, step("dependencies", steps.keep_dependencies), wait_for)
    build_steps = BuildSteps(
        lay_out=order.together(_durable("begin")(begun), taken, plan, planned),
        # To wait, to ask for the result and to keep it are one checkpoint; in a workflow itself each would be one.
        collect=_durable("collect_first")(_of_the_first(observed("collect", steps.collect), watch, _only_or_first)),
        publish=step("publish", steps.release),
        end=step("end", steps.end),
        announce=step("announce", steps.tell),
    )
    lay_out = order.one_after_the_other(step("source", steps.take_source), taken, plan, planned)
    old_steps = replace(build_steps, lay_out=lay_out)
    oldest_steps = replace(old_steps, collect=_of_the_first(step("collect", steps.collect), watch, _first))
    _install_receive(starter)
    for name, each in ((BUILD, build_steps), (OLD_BUILD, old_steps), (OLDEST_BUILD, oldest_steps)):
        _install_build(name, each)


def _install_build(name: str, do: "BuildSteps") -> None:
    @DBOS.workflow(name=name, max_recovery_attempts=1000)
    def build_workflow(build: int) -> None:
        _build(build, do)


def _install_receive(starter: Starter) -> None:
    @DBOS.step(name=RECEIVE, retries_allowed=True, max_attempts=STEP_TRIES, should_retry=_is_passing)
    def receive_step(starts: list[list[float] | int]) -> None:
        starter.start_each(starts)

    @DBOS.workflow(name=RECEIVE, max_recovery_attempts=1000)
    def receive_workflow(starts: list[list[float] | int]) -> None:
        receive_step(starts)


@dataclass(frozen=True, slots=True)
class BuildSteps:
    """What a build's workflow goes through, each durable by itself."""

    lay_out: Step  # the source and the plan
    collect: Step  # given the handles of jobs: of that which ends first
    publish: Step
    end: Step
    announce: Step


def _build(build: int, do: BuildSteps) -> None:
    try:
        status, message = _run(build, do)
    except EndedError:
        return
    except Exception as error:  # retries are used up: the build ends, the service does not
        logger.exception("build broke off", extra={"build": build})
        status, message = Status.ERROR.value, f"Kiln could not finish this build: {error}"
    do.end(build, status, message)
    if status == Status.SUCCEEDED.value:
        do.announce(build)


def _run(build: int, do: BuildSteps) -> tuple[str, str]:
    """The steps up to the signed release; answers how the build ended."""
    try:
        jobs = value_of(do.lay_out(build))
        if jobs is None:
            return Status.SKIPPED.value, steps.NOT_TOUCHED
        kept = list(_kept(build, jobs, do.collect))
        status = total(status_of(Outcome(each["outcome"])) for each in kept)
        if status is not Status.SUCCEEDED:
            worst = next(each for each in kept if status_of(Outcome(each["outcome"])) is status)
            return status.value, f"{_board(jobs, worst['job'])}: {worst['message'] or worst['outcome']}"
        value_of(do.publish(build))
    except FailedError as error:
        return Status.FAILED.value, str(error)
    return Status.SUCCEEDED.value, ""


def _on_runner(workflow: str, name: str, value: dict[str, Any]) -> Any:  # a handle of its result's JSON
    return DBOS.enqueue_workflow_with_options(
        {"queue_name": QUEUE, "workflow_name": workflow, "workflow_id": name, "app_version": VERSION}, value
    )


def _result_of(handle: Any, watch: Watch) -> dict[str, Any]:
    watch.wait_for_one([handle.workflow_id])
    result: dict[str, Any] = handle.get_result(polling_interval_sec=RESULT_POLL_S)
    return result


def _first(waiting: list[Any]) -> Any:  # of handles of jobs
    return DBOS.wait_first(waiting, polling_interval_sec=RESULT_POLL_S)


def _only_or_first(waiting: list[Any]) -> Any:
    """Within a step. In a workflow itself the engine writes the question down, and the order would be another."""
    return waiting[0] if len(waiting) == 1 else _first(waiting)


def _of_the_first(collect: Step, watch: Watch, first: Callable[[list[Any]], Any]) -> Step:
    def collect_first(build: int, waiting: list[Any]) -> dict[str, Any]:  # handles of jobs
        watch.wait_for_one([each.workflow_id for each in waiting])
        done = first(waiting)
        try:
            result = done.get_result()
        except Exception as error:  # noqa: BLE001  # the runner's own trouble arrives as any exception
            broken = Result(job=done.workflow_id, outcome=Outcome.ERROR, message=f"the runner broke off: {error}"[:500])
            result = broken.to_json()
        return collect(build, done.workflow_id, result)

    return collect_first


def _kept(build: int, jobs: list[dict[str, Any]], collect: Step) -> Iterator[dict[str, Any]]:
    """Results of jobs as JSON, as they are kept, when they end."""
    waiting = {job["id"]: _on_runner(WORKFLOW, job["id"], job) for job in jobs}
    while waiting:
        kept = value_of(collect(build, list(waiting.values())))
        del waiting[kept["job"]]
        yield kept


def _board(jobs: list[dict[str, Any]], name: str) -> str:
    return next(str(each["board"]) for each in jobs if each["id"] == name)
