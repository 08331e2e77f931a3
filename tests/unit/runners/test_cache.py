"""Cache keys (second list of attacks: row 8), and results that are taken over."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from runners.contract import cache
from runners.contract.job import (
    FILES_ARTIFACT,
    Annotation,
    Artifact,
    ContractError,
    Job,
    Limits,
    Options,
    Outcome,
    Result,
    Size,
)
from tests.fakes.engine import InMemoryEngine, Printed
from tests.fakes.runner_service import InMemoryService
from tests.unit.runners.test_run import GOOD, job, runner

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.dictionaries(st.text(max_size=4), JSON, max_size=4)
RESULT = Result(
    job="k1-1-unix",
    outcome=Outcome.SUCCEEDED,
    warnings=(Annotation(path="kiln.toml", line=4, text="unused"), Annotation(path="a.py", line=1, text="doubtful")),
    source_warnings=1,
    artifacts=(Artifact(name=FILES_ARTIFACT, digest="1" * 64, size_bytes=3),),
    sizes=(Size(name="a.py", size_bytes=3),),
    cache_key="2" * 64,
)


def differs(one: Any, other: Any) -> bool:
    """JSON values that are not the same: True is not 1, and 1 is not 1.0."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)


@given(REQUESTS, REQUESTS)
def test_row_8_different_requests_never_share_a_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (cache.digest(one) != cache.digest(other)) == differs(one, other)


@given(REQUESTS, st.randoms())
def test_row_8_order_never_matters(request: dict[str, Any], chance: Any) -> None:
    names = list(request)
    chance.shuffle(names)

    assert cache.digest({name: request[name] for name in names}) == cache.digest(request)


def test_row_8_a_key_has_256_bits() -> None:
    assert cache.is_key(cache.digest({}))
    assert len(bytes.fromhex(cache.digest({}))) * 8 == 256
    assert not cache.is_key("2" * 16)


def key_of(made: Job, **more: Any) -> str:
    given_ = {"tree": b"t", "origins": {"a.py": "src/a.py"}, "image": "sha256:0", **more}
    return cache.key(made, **given_)


BASE = job(InMemoryService(), GOOD)


@pytest.mark.parametrize(
    "other",
    [
        key_of(replace(BASE, board="esp32-generic")),
        key_of(replace(BASE, family="arduino-avr")),
        key_of(replace(BASE, options=replace(BASE.options, arch="armv6m"))),
        key_of(replace(BASE, options=replace(BASE.options, micropython="1.22"))),
        key_of(BASE, tree=b"u"),
        key_of(BASE, image="sha256:1"),
        key_of(BASE, origins={"a.py": "lib/a.py"}),
        key_of(BASE, board="Board(file_system_bytes=1)"),
        key_of(replace(BASE, limits=Limits(output_bytes=1))),
    ],
)
def test_row_8_whatever_decides_the_outcome_is_in_the_key(other: str) -> None:
    assert other != key_of(BASE)


def test_row_8_every_option_is_in_the_key_or_in_the_tree() -> None:
    others: dict[type, Any] = {str: "x", type(None): "x", tuple: ("x",), int: 7, bool: True}
    for name in Options.__dataclass_fields__:
        value = getattr(BASE.options, name)
        changed = replace(BASE, options=replace(BASE.options, **{name: others[type(value)]}))
        assert (key_of(changed) == key_of(BASE)) == (name in cache.STAGED), name


def test_what_does_not_decide_the_outcome_is_not_in_the_key() -> None:
    later = replace(BASE, id="k1-2-unix", commit="d" * 40, log_url="/other", uploads={}, cache_url="/cache")

    assert key_of(later) == key_of(BASE)


def test_a_kept_result_is_taken_over() -> None:
    taken = cache.taken(json.loads(json.dumps(cache.to_keep(RESULT))), job="k1-2-unix")

    new = replace(RESULT, job="k1-2-unix", cached_from="k1-1-unix", cache_key="")
    assert taken == replace(new, warnings=RESULT.warnings[1:], source_warnings=0)  # the source is looked at again
    with pytest.raises(ContractError):
        cache.taken({"job": "x"}, job="y")


def test_the_same_source_again_takes_no_container() -> None:
    service = InMemoryService()
    first = runner(service).run(job(service, GOOD))
    service.results[first.cache_key] = cache.to_keep(first)
    work, wrote = runner(service, no_container), len(service.logs["/log"].content)

    again = work.run(replace(job(service, {**GOOD, "README.md": b"new"}), id="k1-2-unix", cache_url="/cache"))

    assert (again.outcome, again.artifacts, again.cached_from) == (Outcome.SUCCEEDED, first.artifacts, first.job)
    assert (again.sizes, again.image, again.cache_key) == (first.sizes, first.image, first.cache_key)
    assert len(service.logs["/log"].content) == wrote  # the service says where it is from


def test_other_source_is_built() -> None:
    service = InMemoryService()
    first = runner(service).run(job(service, GOOD))
    service.results[first.cache_key] = cache.to_keep(first)

    other = runner(service).run(replace(job(service, {**GOOD, "src/a.py": b"x = 2\n"}), cache_url="/cache"))

    assert other.cached_from == ""
    assert other.cache_key != first.cache_key


def no_container(_: dict[str, bytes]) -> Printed:
    raise AssertionError("a container was started")


def test_a_runner_that_died_before_its_container_ended_leaves_none_behind() -> None:
    service = InMemoryService()
    first = runner(service).run(job(service, GOOD))
    service.results[first.cache_key] = cache.to_keep(first)
    work = runner(service)
    engine = work.engine
    assert isinstance(engine, InMemoryEngine)
    again = replace(job(service, GOOD), id="k1-2-unix", cache_url="/cache")
    left = engine.start(spec_of(again))

    assert work.run(again).cached_from == first.job
    assert left.has_ended.is_set()
    assert engine.jobs("r") == set()


def spec_of(made: Job) -> Any:
    from runners.engine import ContainerSpec

    return ContainerSpec(job=made.id, runner="r", image="sha256:0", limits=made.limits)
