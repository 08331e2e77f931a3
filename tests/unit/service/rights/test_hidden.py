"""What a public repository has besides builds and releases: whoever is no member cannot tell it from nothing."""

import re
from collections.abc import Iterator

import pytest

from service import rolling
from service.domain.rights import Role
from service.flows import rollouts
from tests.fakes.asgi import Reply
from tests.fakes.devices import DeviceSite
from tests.fakes.site import Browser, Site
from tests.unit.service.rights.test_audit import served

HIDDEN = re.compile(r"/(?:api/v1/)?(?!ota/)[a-z]+/\{(device|claim|rollout)(?::int)?\}(?:/[a-z.-]+)*")


@pytest.fixture
def there(devices: DeviceSite, site: Site, admin: Browser) -> dict[str, tuple[str, str]]:
    """Of each kind one that is there, and a name of none."""
    repository = site.of("open")
    devices.enrol(admin, "roof", repository)
    body = {"repository": repository.id, "board": "unix"}
    code = admin.send("POST", "/api/v1/claims", json=body).fields["claim"]["id"]
    begun, _ = rollouts.begin(devices.release(site.build(repository)).build, rolling.parts(site.kiln))
    assert begun is not None
    return {"device": ("roof", "cellar"), "claim": (code, "0" * 24), "rollout": (str(begun.id), "999")}


def addresses(site: Site, there: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Method, address of what is there, address of nothing."""
    for method, path in sorted(served(site)):
        if found := HIDDEN.fullmatch(path):
            real, none = (re.sub(r"\{[^}]+\}", name, path) for name in there[found[1]])
            yield method, real, none
    real, none = (f"/api/v1/settings?device={name}" for name in there["device"])
    yield "GET", real, none


def answer(reply: Reply) -> tuple[int, bytes, dict[str, str]]:
    return reply.status, reply.body, dict(reply.headers)


def test_devices_codes_and_roll_outs_of_a_public_repository_are_not_public(
    site: Site, there: dict[str, tuple[str, str]]
) -> None:
    stranger = site.browser().sign_in_as(site.user(9, "eve"))
    anybody, seen = site.browser(), 0

    for method, real, none in addresses(site, there):
        for who in (anybody, stranger, site.program(site.token(stranger, "devices"))):
            replies = [who.send(method, address, json={}) for address in (real, none)]

            assert answer(replies[0]) == answer(replies[1]), (method, real)
            assert replies[0].status in (303, 401 if who is anybody else 404), (method, real)
            seen += 1

    assert seen > 90


def test_a_member_who_may_only_look_is_told_what_it_needs(site: Site, there: dict[str, tuple[str, str]]) -> None:
    member = site.browser().sign_in_as(site.user(2, "bob", open=Role.VIEWER))

    replies = [member.get(f"/api/v1/{noun}s/{there[noun][0]}") for noun in ("device", "rollout")]

    assert [each.status for each in replies] == [403, 403]
    assert "this needs right devices of github/acme/open" in replies[0].fields["error"]
