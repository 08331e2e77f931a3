"""Looks for warnings: in the background, once for equal sources, and never the end of a build."""

import threading
from dataclasses import replace

from runners.contract import cache
from runners.contract.job import MAX_WARNINGS, Annotation, Outcome
from runners.lookout import KEPT, Lookout
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import Look
from runners.recipes.snapshot import Snapshot
from tests.fakes.runner_service import InMemoryService
from tests.unit.runners.test_run import GOOD, job, packed, runner

FOUND = (Annotation(path="a.py", line=1, text="doubtful"),)
SECRET = {**GOOD, "src/a.py": b"PASSWORD = 'correct-horse'\n"}


def test_equal_looks_are_taken_once() -> None:
    lookout, taken = Lookout(), []

    def work() -> tuple[Annotation, ...]:
        taken.append(1)
        return FOUND

    answers = [lookout.begin(Look("key", work)).result(10) for _ in range(3)]

    assert answers == [FOUND] * 3
    assert len(taken) == 1
    assert lookout.begin(Look("other", work)).result(10) == FOUND
    assert len(taken) == 2


def test_nobody_waits_for_the_look_of_another() -> None:
    lookout, go_on = Lookout(), threading.Event()

    def slowly() -> tuple[Annotation, ...]:
        go_on.wait(60)
        return ()

    slow = lookout.begin(Look("slow", slowly))

    assert lookout.begin(Look("fast", lambda: FOUND)).result(10) == FOUND
    assert lookout.begin(None).result(0) == ()
    assert not slow.done()
    go_on.set()
    assert slow.result(10) == ()


def test_a_look_that_fails_has_found_nothing() -> None:
    assert Lookout().begin(Look("bad", lambda: FOUND[: 7 // 0])).result(10) == ()


def test_the_oldest_answers_are_forgotten() -> None:
    lookout = Lookout()
    for number in range(KEPT + 1):
        lookout.begin(Look(number, lambda: FOUND)).result(10)

    assert lookout.begin(Look(KEPT, lambda: ())).result(10) == FOUND
    assert lookout.begin(Look(0, lambda: ())).result(10) == ()


def test_a_result_says_what_was_found_whether_built_or_taken_over() -> None:
    service = InMemoryService()
    first = runner(service).run(job(service, SECRET))

    service.results[first.cache_key] = cache.to_keep(first)
    again = runner(service).run(replace(job(service, SECRET), id="k1-2-unix", cache_url="/cache"))

    assert [each.path for each in first.warnings] == ["src/a.py"]
    assert (again.warnings, again.cached_from) == (first.warnings, first.job)
    assert first.source_warnings == again.source_warnings == 1


def test_what_was_said_about_another_source_is_not_repeated() -> None:
    """The file is not on the board, so the result is the same; what is said about it is not."""
    declared = b'[firmware]\nsource = "src"\n[settings.X]\n'
    service = InMemoryService()
    unused = job(service, {**GOOD, "kiln.toml": declared})
    unused = replace(unused, options=replace(unused.options, settings=("X",)))
    first = runner(service).run(unused)

    service.results[first.cache_key] = cache.to_keep(first)
    used = job(service, {**GOOD, "kiln.toml": declared, "tools/show.py": b"print(X)\n"})
    used = replace(used, id="k1-2-unix", options=unused.options, cache_url="/cache")
    second = runner(service).run(used)

    assert "declared and used nowhere" in first.warnings[0].text
    assert (second.outcome, second.cached_from, second.warnings) == (Outcome.SUCCEEDED, first.job, ())


def test_warnings_have_a_limit() -> None:
    many = "".join(f"PASSWORD{number} = 'correct-horse'\n" for number in range(MAX_WARNINGS + 9))
    service = InMemoryService()

    result = runner(service).run(job(service, {**GOOD, "src/a.py": many.encode()}))

    assert len(result.warnings) == MAX_WARNINGS == result.source_warnings


def test_warnings_about_what_was_made_are_not_crowded_out() -> None:
    many = "".join(f"PASSWORD{number} = 'correct-horse'\n" for number in range(MAX_WARNINGS + 9))
    service = InMemoryService()
    made = runner(service)
    big = {**GOOD, "src/a.py": many.encode(), "src/data.bin": bytes(600_000)}
    small = replace(job(service, big), board="rpi-pico-w")

    result = made.run(small)

    assert len(result.warnings) == MAX_WARNINGS
    assert result.source_warnings == MAX_WARNINGS - 1
    assert cache.to_keep(result)["warnings"][0]["text"] == result.warnings[-1].text


def test_commits_with_the_same_files_are_looked_at_once() -> None:
    one, two = (Snapshot.parse(packed(GOOD)) for _ in range(2))
    image = runner(InMemoryService()).engine.image(MicroPython.image)
    looks = [MicroPython().stage(job(InMemoryService(), GOOD), each, image).look for each in (one, two)]
    other = MicroPython().stage(job(InMemoryService(), SECRET), Snapshot.parse(packed(SECRET)), image).look

    assert looks[0] is not None
    assert looks[1] is not None
    assert other is not None
    assert looks[0].key == looks[1].key != other.key
