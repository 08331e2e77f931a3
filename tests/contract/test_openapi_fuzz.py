"""Requests made from the API's own description (schemathesis), to the real application on a real database.

Whatever is asked, there is no 500, and each answer has a status, a type and a form that the description names. What
path, query and body name is invented in one round, and in the other is there: a build, a repository, a device with a
release. There most operations do what they are asked at least once, or what was asked would be their door alone.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from service.domain.rights import Role
from service.web.openapi import PATH, document
from tests.fakes.devices import DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Site, application

ROUNDS = 8  # requests to each operation in each round
LABELS = [
    f"{method.upper()} {path}"
    for path, each in document("1")["paths"].items()
    for method in each
    if method != "parameters"
]
FREE = {
    f"{method.upper()} {path}"
    for path, each in document("1")["paths"].items()
    for method in each
    if method != "parameters" and not each[method]["security"]
}
# A description cannot say all that makes an address one of a repository, a key's document a good one, or a plan whole.
MORE_TO_SAY = {
    "POST /api/v1/repositories",
    "POST /api/v1/repositories/{name}/check",
    "POST /api/v1/connections",
    "POST /api/v1/tokens",
    "POST /api/v1/keys/revoke",
    "POST /api/v1/keys/roots",
    "DELETE /api/v1/users",
    "DELETE /api/v1/grants",
    "POST /api/v1/groups",
    "POST /api/v1/claims",
    "PUT /api/v1/plans",
    "POST /ota/v1/devices/{device}/report",
    "POST /api/v1/devices",
    "PUT /api/v1/devices/{device}/settings",
    "PATCH /api/v1/devices/{device}/settings",
    "PUT /api/v1/rollouts/{rollout}/plan",
    "GET /api/v1/settings",  # it takes a repository or a device
    "PUT /api/v1/settings",
    "PATCH /api/v1/settings",
}
# What these want is not here: a forge, a key that was made elsewhere, a board's own proof, an older release, a failed
# build, a request of a fork, a roll-out that waits for somebody or where somebody failed, base firmware, a person who
# makes tokens; or what no description says: a whole plan, a whole report, and a device or else a group.
NEVER = {
    "POST /api/v1/connections",
    "POST /api/v1/connections/{name}/rotate-secret",
    "DELETE /api/v1/connections/{name}",
    "POST /api/v1/repositories",
    "POST /api/v1/repositories/{name}/check",
    "DELETE /api/v1/repositories/{name}",
    "POST /api/v1/builds",
    "POST /api/v1/builds/{build}/approve",
    "POST /api/v1/builds/{build}/rerun",
    "POST /api/v1/rollouts/{rollout}/approve",
    "POST /api/v1/rollouts/{rollout}/retry",
    "PUT /api/v1/rollouts/{rollout}/plan",
    "PUT /api/v1/plans",
    "PUT /api/v1/settings",
    "PATCH /api/v1/settings",
    "POST /ota/v1/devices/{device}/report",
    "POST /api/v1/tokens",
    "POST /api/v1/claim",
    "POST /api/v1/keys/revoke",
    "POST /api/v1/keys/roots",
    "GET /api/v1/devices/{device}/flash",
    "GET /api/v1/devices/{device}/webflash",
    "GET /ota/v1/devices/{device}/config/{digest}",
    "GET /ota/v1/releases/{digest}/pack",
    "GET /ota/v1/releases/{digest}/pack/2",
}
SLOW = {"POST /api/v1/keys/rotate": 2}  # each makes a key of 3,072 bits: seconds
HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def ask(site: Site, label: str, there: Mapping[str, Any], headers: Mapping[str, str] = HEADERS) -> list[int]:
    """Ask often, and hold each answer to the description; the statuses. What is `there` takes the place of its name."""
    method, path = label.split(" ")
    operation = schemathesis.openapi.from_asgi(PATH, application(site.kiln))[path][method]
    # Strangers are told 404 of what they may not know of: `test_strangers_are_kept_out` is for them.
    left_out: list[CheckFunction] = [ignored_auth, *([positive_data_acceptance] if label in MORE_TO_SAY else [])]
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
        for found in (case.query, case.body):  # where `name` is what something new is to be called
            if isinstance(found, dict):
                found.update({name: there[name] for name in found if name in there and name != "name"})
        if label == "POST /api/v1/devices/{device}/log":
            case.query["wait_s"] = 0  # they would pass in earnest
        response = case.call(headers=headers)
        statuses.append(response.status_code)
        case.validate_response(response, headers=headers, excluded_checks=left_out)

    once()
    assert 429 not in statuses
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
    """What requests name, by the names of parameters and fields: all of it is there. Under no name: the device's
    token.
    """
    repository = site.follow("acme/blink", public=True)
    devices, person = DeviceSite.over(site), site.program(ADMIN_TOKEN)
    device = devices.enrol(person, "desk-1", repository)
    build = site.build(repository)
    bundle = devices.release(build, plan=None)
    assert person.send("POST", "/api/v1/groups", json={"repository": repository.id, "name": "roof"}).status == 201
    claim = person.send("POST", "/api/v1/claims", json={"repository": repository.id, "board": "unix"})
    token = person.send("POST", "/api/v1/tokens", json={"name": "x", "scopes": "view"}).fields["id"]
    (rollout,) = site.kiln.rollouts.of_build(build.id)
    named = {
        "build": build.id,
        "name": repository.id,
        "device": "desk-1",
        "rollout": rollout.id,
        "version": 1,
        "release": build.id,
    }
    fields = {"repository": repository.id, "user": site.user(blink=Role.VIEWER), "board": "unix", "channel": "beta"}
    more = {"group": "roof", "claim": claim.fields["claim"]["id"], "digest": bundle.digest, "token": token}
    return {**named, **fields, **more, "": device.file["token"]}


@pytest.mark.parametrize("label", LABELS)
def test_requests_about_what_is_there(site: Site, there: dict[str, Any], label: str) -> None:
    own = {"Authorization": f"Bearer {there.pop('')}", "X-Kiln-Device": "desk-1"}

    statuses = ask(site, label, there, own if "/ota/" in label else HEADERS)

    assert all(each < 500 or each == 503 for each in statuses)
    assert label in NEVER or any(200 <= each < 300 for each in statuses)


@pytest.mark.parametrize("label", [each for each in LABELS if each not in FREE])
def test_strangers_are_kept_out(site: Site, there: dict[str, Any], label: str) -> None:
    """Without a token, and with a wrong one. What they are told differs in nothing from what is not there."""
    method, path = label.split(" ")
    target = path.format_map(there)

    for token in ("", "wrong"):
        assert site.program(token).send(method, target, json={}).status in (401, 403, 404)
