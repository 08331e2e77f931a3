"""Single flight: equal jobs at once share one build, and a fork's with nobody (second list of attacks: row 9)."""

import threading
from dataclasses import replace

from runners.contract.job import FILES_ARTIFACT, Blob, Outcome, Result
from runners.flight import Flights
from runners.sources import Sources
from tests.fakes.engine import Printed, compile_tree
from tests.fakes.runner_service import InMemoryService
from tests.unit.runners.test_cache import no_container
from tests.unit.runners.test_run import GOOD, job, runner


def test_equal_jobs_do_not_try_in_turn_what_fails() -> None:
    built, results, _ = at_once(["blink"] * 3, {**GOOD, "src/a.py": b"x = (\n"})

    assert built == 1
    assert [each.outcome for each in results] == [Outcome.FAILED] * 3
    assert {each.message for each in results} == {results[0].message}
    assert {each.job for each in results} == {"k0", "k1", "k2"}


def test_a_failure_is_not_remembered() -> None:
    work, bad = runner(InMemoryService()), {**GOOD, "src/a.py": b"x = (\n"}
    service = work.service
    assert isinstance(service, InMemoryService)

    first, second = (work.run(replace(job(service, bad), id=f"k{n}", share="blink")) for n in range(2))

    assert (first.outcome, second.outcome, second.cached_from) == (Outcome.FAILED, Outcome.FAILED, "")


def test_a_job_that_is_cancelled_before_it_has_a_container_gets_none() -> None:
    service = InMemoryService()
    work = runner(service, no_container, is_cancelled=lambda _: True)

    assert work.run(job(service, GOOD)).outcome is Outcome.CANCELLED


def test_a_job_that_is_cancelled_while_its_container_starts_feeds_it_nothing() -> None:
    service, asked = InMemoryService(), iter([False])
    work = runner(service, no_container, is_cancelled=lambda _: next(asked, True))

    assert work.run(job(service, GOOD)).outcome is Outcome.CANCELLED
    assert work.engine.jobs("r") == set()


def at_once(shares: list[str], files: dict[str, bytes] = GOOD) -> tuple[int, list[Result], InMemoryService]:
    """Equal jobs at once, which share so: how often was built, and what came of it."""
    service, builds, may_end = InMemoryService(), [], threading.Event()

    def slowly(tree: dict[str, bytes]) -> Printed:
        builds.append(1)
        assert may_end.wait(60)
        return compile_tree(tree)

    work, same = runner(service, slowly), job(service, files)
    results: list[Result] = []
    threads = []
    for n, share in enumerate(shares):
        each = replace(same, id=f"k{n}", uploads={FILES_ARTIFACT: f"/up{n}"}, log_url=f"/log{n}", share=share)
        threads.append(threading.Thread(target=lambda each=each: results.append(work.run(each))))
        threads[-1].start()
    while not builds:
        threads[0].join(0.01)
    threads[0].join(0.3)  # for the others to come as far
    may_end.set()
    for thread in threads:
        thread.join(60)
    return len(builds), results, service


def test_of_several_jobs_at_once_that_want_the_same_one_builds() -> None:
    built, results, service = at_once(["blink", "blink", "blink"])

    assert built == 1
    assert {each.outcome for each in results} == {Outcome.SUCCEEDED}
    assert len({each.artifacts for each in results}) == 1
    assert sorted(service.uploads) == ["/up0", "/up1", "/up2"]
    assert sum(bool(each.cached_from) for each in results) == 2


def test_row_9_a_fork_shares_with_nobody_and_repositories_not_with_each_other() -> None:
    built, results, _ = at_once(["blink", "", "", "other"])

    assert built == 4
    assert [each.cached_from for each in results] == [""] * 4


def test_when_nothing_came_of_the_one_that_builds_the_next_one_builds() -> None:
    flights: Flights[str] = Flights()
    seen: list[str] = []

    def second() -> None:
        with flights.board("k", "second") as flight:
            seen.append(str(flight.made))
            flight.made = "made"

    thread = threading.Thread(target=second)
    with flights.board("k", "first") as flight:
        thread.start()
        assert flight.by == "first"
    thread.join(60)
    with flights.board("k", "third") as flight:
        assert flight.made is None

    assert seen == ["None"]


def test_what_landed_a_moment_ago_is_taken_though_nobody_has_written_it_down_yet() -> None:
    service = InMemoryService()
    work = runner(service)
    blink = replace(job(service, GOOD), share="blink", cache_url="/cache")
    first = work.run(blink)

    second = work.run(replace(blink, id="k1-2-unix", uploads={FILES_ARTIFACT: "/up2"}))
    fork = work.run(replace(blink, id="k1-3-unix", share=""))

    assert (second.cached_from, second.artifacts, fork.cached_from) == (first.job, first.artifacts, "")
    assert service.uploads["/up2"] == service.uploads["/up"]


def test_few_that_landed_are_remembered() -> None:
    flights: Flights[str] = Flights(remembered=2)
    for key in ("a", "b", "a", "c"):
        with flights.board(key, key) as flight:
            flight.made = "made"
    before = {}
    for key in ("a", "b", "c"):
        with flights.board(key, "later") as flight:
            before[key] = flight.before and flight.before.by

    assert before == {"a": "a", "b": None, "c": "c"}


def test_a_snapshot_is_fetched_once_for_all_boards() -> None:
    service, asked = InMemoryService(), []

    def fetch(blob: Blob) -> bytes:
        asked.append(blob.digest)
        return service.fetch(blob)

    sources = Sources(fetch)
    one, two = job(service, GOOD).source, job(service, {"main.py": b""}).source

    assert [sorted(sources.get(each).files) for each in (one, one, two, one)][::2] == [sorted(GOOD), ["main.py"]]
    assert asked == [one.digest, two.digest]
