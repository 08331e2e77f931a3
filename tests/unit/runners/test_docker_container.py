"""Removing a container from an engine that needs more than one word."""

import docker
import pytest
import requests

from runners.docker_container import REMOVE_PAUSES_S, remove


class Slow:
    """An engine that answers as given, once each; what of Docker's API is used here."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)

    def remove_container(self, _name: str, **_how: bool) -> None:
        if error := self.answers.pop(0):
            raise error


def said_by_engine(status: int, text: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError(text, response=response, explanation=text)


NOT_DEAD_YET = said_by_engine(500, "could not kill container: did not receive an exit event")


def test_a_container_whose_processes_die_slowly_is_removed_when_asked_again() -> None:
    pauses: list[float] = []
    engine = Slow(NOT_DEAD_YET, NOT_DEAD_YET, None)

    assert remove(engine, "kiln-x", pause=pauses.append) == ""
    assert (pauses, engine.answers) == ([1.0, 3.0], [])


def test_what_an_engine_cannot_do_at_all_is_told_in_the_end() -> None:
    pauses: list[float] = []
    engine = Slow(*[NOT_DEAD_YET] * (len(REMOVE_PAUSES_S) + 1))

    assert "exit event" in remove(engine, "kiln-x", pause=pauses.append)
    assert (sum(pauses), engine.answers) == (sum(REMOVE_PAUSES_S), [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (docker.errors.NotFound("no such container"), ""),
        (said_by_engine(409, "removal of container kiln-x is already in progress"), ""),
        (requests.exceptions.ConnectionError("no engine"), "no engine"),
    ],
)
def test_what_time_does_not_change_is_not_waited_for(answer: Exception, said: str) -> None:
    pauses: list[float] = []

    assert remove(Slow(answer), "kiln-x", pause=pauses.append) == said
    assert pauses == []
