"""Builds that people start by hand."""

import dataclasses

from service.domain.repository import Repository
from tests.fakes.site import Browser, Site, application
from tests.fakes.sources import FolderSources


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
