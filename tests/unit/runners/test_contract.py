"""What travels between service and runner, and the boards that both know."""

import json

import pytest

from runners.contract.board import Catalogue, UnknownBoardError
from runners.contract.job import (
    FILES_ARTIFACT,
    Annotation,
    Artifact,
    Blob,
    ContractError,
    Job,
    Limits,
    Options,
    Outcome,
    Result,
    Size,
)

JOB = Job(
    id="k1-7-unix",
    board="unix",
    family="micropython",
    commit="c" * 40,
    source=Blob(url="http://host/s?sig=1", digest="0" * 64, size_bytes=5),
    uploads={FILES_ARTIFACT: "http://host/u?sig=2"},
    log_url="http://host/l?sig=3",
    options=Options(source="src", exclude=("a", "b/**"), arch="x64"),
    limits=Limits(time_s=7.5),
)
RESULT = Result(
    job=JOB.id,
    outcome=Outcome.FAILED,
    message="main.py line 1: wrong",
    annotations=(Annotation(path="main.py", line=1, text="wrong"),),
    warnings=(Annotation(path="main.py", line=2, text="doubtful"),),
    sizes=(Size(name="main.py", size_bytes=3), Size(name="file system", size_bytes=9, of_bytes=10)),
    artifacts=(Artifact(name=FILES_ARTIFACT, digest="1" * 64, size_bytes=3),),
    image="sha256:2",
    seconds=0.5,
    cache_key="3" * 64,
    cached_from="k1-6-unix",
)


def test_a_job_survives_the_queue() -> None:
    assert Job.from_json(json.loads(json.dumps(JOB.to_json()))) == JOB


def test_a_result_survives_the_queue() -> None:
    assert Result.from_json(json.loads(json.dumps(RESULT.to_json()))) == RESULT


def test_a_result_of_an_older_kiln_is_read() -> None:
    old = {
        name: value
        for name, value in RESULT.to_json().items()
        if name not in {"warnings", "sizes", "cache_key", "cached_from"}
    }

    assert (Result.from_json(old).warnings, Result.from_json(old).sizes) == ((), ())


@pytest.mark.parametrize(
    "wrong",
    [{"id": "../x"}, {"id": ""}, {"id": "a" * 64}, {"board": None, "more": 1}, {"source": {}}, {"options": 5}],
)
def test_what_is_no_job_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        Job.from_json({**JOB.to_json(), **wrong})


def test_a_job_without_a_key_is_refused() -> None:
    whole = JOB.to_json()

    for key in whole.keys() - {"cache_url"}:  # came later: an older service does not give it
        with pytest.raises(ContractError):
            Job.from_json({name: value for name, value in whole.items() if name != key})


def test_every_board_of_the_catalogue_is_complete() -> None:
    catalogue = Catalogue.load()

    assert {"esp8266-generic", "esp32-generic", "rpi-pico", "rpi-pico-w", "unix"} <= set(catalogue.names)
    assert all(each.family and each.chip for each in catalogue.boards.values())
    assert all(each.mpy == 6 and each.arch for each in catalogue.boards.values() if each.family == "micropython")


def test_every_arduino_board_says_what_its_compiler_is_told() -> None:
    boards = [each for each in Catalogue.load().boards.values() if each.family == "arduino-avr"]

    assert [each.name for each in boards] == ["arduino-uno", "arduino-nano", "arduino-mega"]
    for each in boards:
        assert {"mcu", "f_cpu", "core", "variant", "board_define", "flash_bytes", "ram_bytes"} == set(each.avr)


def test_an_unknown_board_says_what_was_meant() -> None:
    with pytest.raises(UnknownBoardError, match='did you mean "rpi-pico-w"') as caught:
        Catalogue.load().board("rpi-pico-ww")

    assert caught.value.board == "rpi-pico-ww"


@pytest.mark.parametrize("text", ["[a]\nfamily = 1\nsize = 2", "[a", "[a]\nfamily = 'x'"])
def test_a_catalogue_with_a_mistake_does_not_load(text: str) -> None:
    with pytest.raises(ContractError):
        Catalogue.parse(text)
