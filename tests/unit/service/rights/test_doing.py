"""What each of them does over the whole site."""

import dataclasses

from service.domain.repository import Repository
from tests.fakes.site import Browser, Site, application, enrol, grant, start
from tests.fakes.sources import FolderSources

# -- what one does


def test_actions_are_for_those_who_may(site: Site, owner: Browser, viewer: Browser, admin: Browser) -> None:
    anybody = site.browser()
    # An allowed enrolment fails at the board (400).
    assert [start(each, "secret") for each in (anybody, viewer, owner, admin)] == [404, 403, 202, 202]
    assert [enrol(each, "secret") for each in (anybody, viewer, owner)] == [404, 403, 400]
    assert [grant(each, "secret") for each in (anybody, viewer, owner, admin)] == [404, 403, 201, 201]
    # Of a public repository: one may see it, so a stranger is asked to sign in, and a user is refused.
    assert [start(each, "open") for each in (anybody, viewer, owner)] == [401, 403, 403]
    assert [grant(each, "open") for each in (anybody, viewer, owner)] == [401, 403, 403]
    # Of the instance.
    assert [each.get("/api/v1/users").status for each in (anybody, viewer, owner, admin)] == [401, 403, 403, 200]


def test_an_owner_lets_others_in_and_out(site: Site, owner: Browser, viewer: Browser) -> None:
    carl = site.user(3, "carl")
    browser = site.browser().sign_in_as(carl)
    build = site.build(site.of("secret"))

    before = browser.get(f"/builds/{build.id}").status
    assert grant(owner, "secret", carl, "owner") == 201
    during = start(browser, "secret"), browser.get(f"/builds/{build.id}").status
    gone = owner.send("DELETE", f"/api/v1/grants?user={carl}&repository=github/acme/secret")
    after = browser.get(f"/builds/{build.id}").status

    assert (before, during, gone.status, after) == (404, (202, 200), 200, 404)
    assert grant(owner, "secret", "github/77") == 404
    assert grant(owner, "secret", carl, "god") == 400
    assert grant(owner, "other", carl) == 404
    listed = owner.get("/api/v1/grants?repository=github/acme/secret").fields
    assert [(each["user"], each["role"]) for each in listed] == [("github/1", "owner"), ("github/2", "viewer")]


def test_a_repository_that_is_removed_takes_its_grants_along(site: Site, viewer: Browser) -> None:
    site.kiln.repositories.remove(site.of("secret").id)
    site.follow("acme/secret")

    assert [each["id"] for each in viewer.get("/api/v1/repositories").fields] == ["github/acme/open"]


def test_somebody_who_is_removed_is_out(site: Site, admin: Browser, owner: Browser) -> None:
    token = site.token(owner, "view")

    assert admin.send("DELETE", "/api/v1/users?user=github/1").status == 200

    assert owner.get("/me").status == 303
    assert site.program(token).get("/api/v1/builds").status == 401
    assert admin.get("/api/v1/users").fields == []
    assert admin.send("DELETE", "/api/v1/users?user=github/1").status == 404
    assert admin.send("DELETE", "/api/v1/users").status == 400


def test_a_start_by_hand_does_not_take_the_place_of_a_push_that_came_meanwhile(site: Site, owner: Browser) -> None:
    sources = site.kiln.sources
    assert isinstance(sources, FolderSources)
    newer: list[int] = []

    class SlowSources(FolderSources):
        def heads(self, repository: Repository) -> dict[str, str]:
            found = super().heads(repository)
            if not newer:
                newer.append(site.build(repository, "newer", "refs/heads/x").id)
            return found

    slow = SlowSources({})
    slow.refs = sources.refs
    browser = Site(site.kiln, application(dataclasses.replace(site.kiln, sources=slow))).browser()  # type: ignore[arg-type]
    browser.cookies = owner.cookies
    body = {"repository": "github/acme/secret", "ref": "refs/heads/x"}

    assert browser.send("POST", "/api/v1/builds", json=body).fields["id"] == newer[0]
    assert [each.id for each in site.kiln.builds.builds()] == newer
    assert site.kiln.repositories.doubtful() == ["github/acme/secret"]
    assert browser.send("POST", "/api/v1/builds", json=body).fields["id"] != newer[0]  # the head, as it is now


def test_the_merge_queues_branches_are_not_started_by_hand(site: Site, owner: Browser) -> None:
    sources = site.kiln.sources
    assert isinstance(sources, FolderSources)
    ref = "refs/heads/gh-readonly-queue/main/pr-1-" + "1" * 40
    sources.refs[ref] = "1" * 40

    reply = owner.send("POST", "/api/v1/builds", json={"repository": "github/acme/secret", "ref": ref})

    assert (reply.status, "is not a branch or a tag" in reply.fields["error"]) == (400, True)
    assert site.kiln.builds.builds() == []
