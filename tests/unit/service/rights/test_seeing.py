"""What each of them sees over the whole site."""

import asyncio
import datetime

import pytest

from service.domain.device import Device, DeviceId
from service.domain.repository import Repository
from service.domain.rights import UserId
from service.web.auth import NOTHING
from tests.fakes.asgi import Reply
from tests.fakes.site import BASE, Browser, Site

# -- what one sees


def names(reply: Reply) -> list[str]:
    return [each["id"].removeprefix("github/acme/") for each in reply.fields]


def test_lists_hold_what_one_may_see(site: Site, admin: Browser, owner: Browser, viewer: Browser) -> None:
    for name in ("secret", "other", "open"):
        site.build(site.of(name), name)

    seen = {"anybody": site.browser(), "viewer": viewer, "owner": owner, "admin": admin}
    repositories = {who: names(each.get("/api/v1/repositories")) for who, each in seen.items()}
    builds = {
        who: sorted(each["repository"].removeprefix("github/acme/") for each in browser.get("/api/v1/builds").fields)
        for who, browser in seen.items()
    }

    assert repositories == {
        "anybody": ["open"],
        "viewer": ["open", "secret"],
        "owner": ["open", "secret"],
        "admin": ["open", "other", "secret"],
    }
    assert builds == repositories
    assert b"acme/secret" in viewer.get("/").body
    assert b"acme/other" not in viewer.get("/").body
    assert b"acme/secret" not in site.browser().get("/").body


@pytest.mark.parametrize("address", ["/nope", "/api/v1/nope", f"/api/v1/builds/{'9' * 30}", "/api/v1/devices/a/b/c"])
def test_an_address_of_nothing_says_so(admin: Browser, address: str) -> None:
    reply = admin.get(address)

    assert (reply.status, reply.fields["error"]) == (404, "there is nothing at this address")


def test_builds_of_others_do_not_crowd_out_ones_own(site: Site) -> None:
    site.build(site.of("open"), "mine")
    for number in range(120):
        site.build(site.of("other"), f"other-{number}")

    assert b"acme/open" in site.browser().get("/").body
    assert len(site.browser().get("/api/v1/builds").fields) == 1


ADDRESSES = [
    "/builds/{}",
    "/api/v1/builds/{}",
    "/builds/{}/unix/log",
    "/builds/{}/unix/files/files.tar",
    "/builds/{}/unix/sbom.json",
    "/builds/{}/unix/bundle.kiln",
    "/builds/{}/provenance.json",
    "/builds/{}/snapshot.tar",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_not_theirs_looks_like_what_is_not_there(site: Site, viewer: Browser, address: str) -> None:
    hidden = site.build(site.of("other"))

    for browser in (site.browser(), viewer):
        replies = [browser.get(address.format(name)) for name in (hidden.id, 999, 10**18 - 1)]
        assert replies[0] == replies[1] == replies[2]
        # No number of anything: to no address, whoever asks.
        assert browser.get(address.format(2**70)).status == 404
        assert (replies[0].status, replies[0].fields["error"]) == (404, NOTHING)


def test_repositories_that_are_not_theirs_look_like_none(site: Site, viewer: Browser) -> None:
    for browser in (site.browser(), viewer):
        for target in ("/api/v1/builds?repository={}", "/api/v1/grants?repository={}"):
            hidden, none = (browser.get(target.format(f"github/{path}")) for path in ("acme/other", "no/such"))
            assert (hidden.status, hidden.body) == (none.status, none.body)
            assert hidden.status == 404
        hidden, none = (
            browser.send("POST", "/api/v1/builds", json={"repository": f"github/{path}"})
            for path in ("acme/other", "no/such")
        )
        assert (hidden.status, hidden.body) == (none.status, none.body)
        assert hidden.status == 404


def test_viewers_see_pages_logs_and_no_devices(site: Site, viewer: Browser, owner: Browser) -> None:
    build = site.build(site.of("secret"))
    site.kiln.fleet.add_device(device("d1", site.of("secret")))
    site.kiln.fleet.add_device(device("d2", site.of("other")))
    job = site.kiln.builds.jobs(build.id)[0]
    site.kiln.logs.append(job.id, 0, b"hello\n")
    site.end(build)

    assert viewer.get(f"/builds/{build.id}").status == 200
    assert viewer.get(f"/api/v1/builds/{build.id}").fields["repository"] == "github/acme/secret"
    assert viewer.get("/api/v1/devices").fields["items"] == []
    assert [each["id"] for each in owner.get("/api/v1/devices").fields["items"]] == ["d1"]
    assert b"d1" in owner.get("/devices").body
    assert b"d2" not in owner.get("/devices").body
    assert b"d1" not in viewer.get("/devices").body
    assert site.browser().get("/devices").status == site.browser().get("/api/v1/devices").status == 401
    # Attack list, A20: the viewer's call for a device; it sees the repository, so this is known and not allowed.
    assert viewer.get("/api/v1/devices/d1").status == 403
    assert owner.get("/api/v1/devices/d2").body == owner.get("/api/v1/devices/d9").body
    assert owner.get("/api/v1/devices/d2").status == 404
    assert owner.get("/api/v1/devices/d1").status == 200


def device(name: str, repository: Repository) -> Device:
    return Device(
        id=DeviceId(name),
        repository=repository.id,
        board="unix",
        channel="beta",
        token_digest="0" * 64,
        created_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )


# -- the live log (row 15)


def test_a_log_is_not_read_by_scripts_of_others(site: Site) -> None:
    build = site.build(site.of("open"))
    site.end(build)
    log = f"/builds/{build.id}/unix/log"
    browser = site.browser()

    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ):
        assert browser.get(log, **headers).status == 403, headers
    for headers in (
        {},
        {"Origin": BASE},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ):
        assert browser.get(log, **headers).status == 200, headers


@pytest.mark.parametrize("loss", ["grant", "session", "token", "repository"])
def test_a_log_ends_when_one_may_not_see_it_any_more(
    site: Site, viewer: Browser, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.web.jobs.CHECK_EVERY_S", 0.1)
    monkeypatch.setattr("service.web.jobs.FOLLOW_EVERY_S", 0.02)
    build = site.build(site.of("secret"))
    job = site.kiln.builds.jobs(build.id)[0]
    site.kiln.logs.append(job.id, 0, b"one\n")
    browser, people = viewer, site.kiln.people
    if loss == "token":
        browser = site.program(site.token(viewer, "view"))

    async def follow() -> Reply:
        reading = asyncio.create_task(asyncio.to_thread(browser.get, f"/builds/{build.id}/unix/log"))
        await asyncio.sleep(0.3)
        match loss:
            case "grant":
                people.withdraw(UserId("github/2"), build.repository)
            case "session":
                people.end_sessions("github/2")
            case "token":
                (token,) = people.tokens()
                people.revoke_token(token.id, now=site.kiln.clock.now())
            case _:
                site.kiln.repositories.remove(build.repository)
        await asyncio.wait({reading}, timeout=10)  # it ends by itself; if it does not, it goes on to the next lines
        site.kiln.logs.append(job.id, 4, b"two\n")
        return await asyncio.wait_for(reading, 60)

    reply = asyncio.run(follow())

    assert (reply.status, reply.body) == (200, b"one\n")
