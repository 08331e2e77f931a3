"""Badges over real records (attack list, row 11)."""

import pytest

from service.domain.build import Delivery, Status
from service.domain.event import Event, EventKind
from service.domain.release import Release
from service.domain.rights import Role
from tests.fakes.site import Site

# -- badges (row 11), with real records


def badge(site: Site, path: str, query: str = "") -> str:
    reply = site.browser().get(f"/badges/{path}.svg{query}")
    assert reply.status == 200
    return reply.body.decode().partition("<title>")[2].partition("</title>")[0]


def test_a_badge_shows_a_build_or_a_version(site: Site) -> None:
    repository = site.of("open")
    main, tag = site.build(repository, "a"), site.build(repository, "b", "refs/tags/v1.0.0")
    now = site.kiln.clock.now()
    site.end(main, Status.FAILED)
    site.end(tag)
    for build, version, channel in ((main, "0.0.1", "beta"), (tag, "1.0.0", "stable")):
        site.kiln.builds.add_release(
            Release(
                build=build.id,
                repository=repository.id,
                name="open",
                version=version,
                counter=build.number,
                channel=channel,
                created_at=now,
            ),
            [],
        )
    here = "github/acme/open"

    assert badge(site, here) == "build: failed"
    assert badge(site, here, "?branch=main") == "build: failed"
    assert badge(site, here, "?tag=v1.0.0") == "build: succeeded"
    assert badge(site, here, "?board=unix") == "unix: failed"
    assert badge(site, here, "?board=none") == "build: unknown"
    assert badge(site, here, "?release") == "release: 1.0.0"
    assert badge(site, here, "?channel=beta") == "beta: 0.0.1"
    assert badge(site, here, "?channel=none") == "build: unknown"


def test_builds_of_requests_and_skipped_ones_do_not_count(site: Site) -> None:
    repository = site.of("open")
    now = site.kiln.clock.now()
    main = site.build(repository, "a")
    site.kiln.builds.end_build(main.id, Status.SUCCEEDED, "", now=now)
    skipped = site.build(repository, "b")
    site.kiln.builds.end_build(skipped.id, Status.SKIPPED, "", now=now)
    event = Event(
        kind=EventKind.MERGE_GROUP,
        delivery="c",
        path=repository.path,
        ref="refs/heads/gh-readonly-queue/main/pr-1",
        commit="c" * 40,
    )
    site.kiln.builds.accept([Delivery(repository=repository.id, event=event)], now=now)

    assert badge(site, "github/acme/open") == "build: succeeded"
    assert badge(site, "github/acme/open", "?branch=gh-readonly-queue/main/pr-1") == "build: unknown"


def test_a_renamed_repository_has_its_badge_under_both_names(site: Site) -> None:
    repository = site.of("open")
    build = site.build(repository)
    site.end(build)
    site.kiln.repositories.change(repository.id, path="Acme/New-Name")

    names_of_it = ("acme/open", "Acme/New-Name", "acme/new-name")
    assert {badge(site, f"github/{path}") for path in names_of_it} == {"build: succeeded"}


QUERIES = ["", "?branch=main", "?tag=v1", "?board=unix", "?release", "?channel=beta", "?label=x"]


@pytest.mark.parametrize("query", QUERIES)
def test_a_private_badge_is_that_of_nothing(site: Site, query: str) -> None:
    """Row 11: whether it exists, was built or released shows in no byte of the answer, not even for its owner."""
    build = site.build(site.of("secret"))
    site.end(build)
    owner = site.browser().sign_in_as(site.user(1, "ann", secret=Role.OWNER))

    for browser in (site.browser(), owner):
        addresses = [f"/badges/github/{path}.svg{query}" for path in ("acme/secret", "no/such")]
        private, none = map(browser.get, addresses)
        assert private == none
        tag = private.headers["etag"]
        cached = [browser.get(address, **{"If-None-Match": tag}) for address in addresses]
        assert cached[0] == cached[1]
        assert cached[0].status == 304
