"""Requests made from the API's own description (schemathesis), to the real application on a real database.

Whatever is asked, there is no 500, and each answer has a status, a type and a form that the description names. What a
path names is invented in one round, and in the other is there: a build, a repository, a device with a release.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service import rolling
from service.domain.release import Release
from service.flows import rollouts
from service.web.openapi import PATH, document
from tests.fakes.site import ADMIN_TOKEN, Site

ROUNDS = 8  # requests to each operation in each round
LABELS = [
    f"{method.upper()} {path}"
    for path, each in document("1")["paths"].items()
    for method in each
    if method != "parameters"
]
# A description cannot say all that makes an address one of a repository, a key's document a good one, or a plan whole.
MORE_TO_SAY = {
    "POST /api/v1/repositories",
    "POST /api/v1/repositories/{name}/check",
    "POST /api/v1/connections",
    "POST /api/v1/tokens",
    "POST /api/v1/devices",
    "PUT /api/v1/devices/{device}/settings",
    "PATCH /api/v1/devices/{device}/settings",
    "PUT /api/v1/rollouts/{rollout}/plan",
    "GET /api/v1/settings",  # it takes a repository or a device
    "PUT /api/v1/settings",
    "PATCH /api/v1/settings",
}
UNFLASHED = {f"GET /api/v1/devices/{{device}}/{what}" for what in ("flash", "webflash")}  # this machine is no board
SLOW = {"POST /api/v1/keys/rotate": 2}  # each makes a key of 3,072 bits: seconds
HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def ask(site: Site, label: str, there: Mapping[str, Any]) -> list[int]:
    """Ask often, and hold each answer to the description; the statuses."""
    method, path = label.split(" ")
    operation = schemathesis.openapi.from_asgi(PATH, site.app)[path][method]
    left_out: list[CheckFunction] = [positive_data_acceptance] if label in MORE_TO_SAY else []
    statuses = []

    @settings(
        max_examples=SLOW.get(label, ROUNDS),
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def once(case: Any) -> None:
        case.path_parameters.update({name: there[name] for name in case.path_parameters if name in there})
        if label == "POST /api/v1/devices/{device}/log":
            case.query["wait_s"] = 0  # they would pass in earnest
        response = case.call(headers=HEADERS)
        statuses.append(response.status_code)
        case.validate_response(response, headers=HEADERS, excluded_checks=left_out)

    once()
    return statuses


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


@pytest.mark.parametrize("label", LABELS)
def test_requests_about_what_is_not_there(empty: Site, label: str) -> None:
    statuses = ask(empty, label, {})

    assert statuses
    assert all(each < 500 or each == 503 for each in statuses)


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    yield made
    made.close()


@pytest.fixture
def there(site: Site) -> dict[str, Any]:
    """What paths name, by their parameters: all of it is there."""
    repository = site.follow("acme/blink", public=True)
    build = site.build(repository)
    release = Release(
        build=build.id,
        repository=repository.id,
        name="blink",
        version="1.0.0",
        counter=build.number,
        channel="beta",
        created_at=site.kiln.clock.now(),
    )
    site.kiln.builds.add_release(release, [])
    person = site.program(ADMIN_TOKEN)
    body = {"id": "desk-1", "repository": repository.id, "board": "unix"}
    assert person.send("POST", "/api/v1/devices", json=body).status == 201
    token = person.send("POST", "/api/v1/tokens", json={"name": "x", "scopes": "view"}).fields["id"]
    made, _ = rollouts.begin(build.id, rolling.parts(site.kiln))
    assert made is not None
    there = {"build": build.id, "name": repository.id, "device": "desk-1", "rollout": made.id}
    return {**there, "version": 1, "token": token}


# What these name is not there, or only beside a query or a body.
ELSEWHERE = ("/connections/", "/groups/", "/claims/", "PUT /api/v1/devices/{device}/pin")
ABOUT = [each for each in LABELS if "{" in each and "/api/" in each and not any(name in each for name in ELSEWHERE)]


@pytest.mark.parametrize("label", ABOUT)
def test_requests_about_what_is_there(site: Site, there: dict[str, Any], label: str) -> None:
    statuses = ask(site, label, there)

    assert all(each < 500 or each == 503 for each in statuses)
    assert label in UNFLASHED or any(each != 404 for each in statuses)
