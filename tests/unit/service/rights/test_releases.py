"""The API of releases: what it answers, and whom it lets do what."""

import pytest

from service import release_routes
from service.domain.build import Build, BuildId
from service.domain.device import Device, DeviceId
from service.domain.release import MAX_NOTES_BYTES, Bundle, Release, ReleaseDigest
from tests.fakes.site import Browser, Site

LIST = "/api/v1/releases?repository=github/acme"


def released(site: Site, name: str = "secret", delivery: str = "one", channel: str = "beta") -> Build:
    build = site.build(site.of(name), f"{name} {delivery}")
    release = Release(
        build=build.id,
        repository=build.repository,
        name=name,
        version=f"1.0.{build.number}",
        counter=build.number,
        channel=channel,
        created_at=site.kiln.clock.now(),
        notes="- first\n- second",
    )
    statement = site.kiln.keys.sign("release", str(build.id).encode())
    bundle = Bundle(
        digest=ReleaseDigest(f"{build.id:064x}"),
        build=build.id,
        board="unix",
        statement=statement,
        object_digest="0" * 64,
        size_bytes=9,
    )
    site.kiln.builds.add_release(release, [bundle])
    return build


def enrolled(site: Site, name: str, channel: str) -> Device:
    device = Device(
        id=DeviceId(name),
        repository=site.of("secret").id,
        board="unix",
        channel=channel,
        token_digest="0" * 64,
        created_at=site.kiln.clock.now(),
    )
    site.kiln.fleet.add_device(device)
    return device


def never(build: BuildId) -> None:
    raise AssertionError(build)


def one(build: Build, act: str = "") -> str:
    return f"/api/v1/releases/{build.id}{act}"


def test_a_release_is_shown_whole(site: Site, owner: Browser) -> None:
    build = released(site)

    shown = owner.get(one(build)).fields

    assert (shown["version"], shown["notes"], shown["summary"]) == ("1.0.1", "- first\n- second", "- first")
    assert (shown["current_in"], shown["withdrawn_at"]) == (["beta"], None)
    assert [each["board"] for each in shown["bundles"]] == ["unix"]
    assert (shown["commit"], shown["ref"]) == (build.commit, build.ref)
    assert shown["devices"] == {"running": 0, "ordered": 0, "failed": 0}


def test_a_list_has_pages(site: Site, owner: Browser) -> None:
    made = [released(site, delivery=str(number)) for number in range(3)]

    first = owner.get(f"{LIST}/secret&limit=2").fields
    then = owner.get(f"{LIST}/secret&limit=2&after={first['next']}").fields

    assert [each["build"] for each in first["items"]] == [made[2].id, made[1].id]
    assert ([each["build"] for each in then["items"]], then["next"]) == ([made[0].id], None)
    assert owner.get(f"{LIST}/secret&channel=stable").fields == {"items": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=", "after=-1", "after=" + "9" * 20])
def test_a_page_that_cannot_be(site: Site, owner: Browser, query: str) -> None:
    assert owner.get(f"{LIST}/secret&{query}").status == 400
    assert owner.get("/api/v1/releases").status == 400


def test_a_release_is_promoted_and_withdrawn(site: Site, owner: Browser) -> None:
    build = released(site)
    enrolled(site, "d1", "stable")

    promoted = owner.send("POST", one(build, "/promote"), json={"channel": "stable"})
    counts = owner.get(one(build)).fields["devices"]
    withdrawn = owner.send("POST", one(build, "/withdraw"), json={"why": "bricks boards"})
    again = owner.send("POST", one(build, "/promote"), json={"channel": "stable"})

    assert (promoted.status, promoted.fields["current_in"]) == (202, ["beta", "stable"])
    assert [each["by"] for each in promoted.fields["channels"]] == [None, "github/1"]
    assert counts == {"running": 0, "ordered": 1, "failed": 0}
    assert withdrawn.status == 200
    assert (withdrawn.fields["taken_from"], withdrawn.fields["devices_recalled"]) == (["beta", "stable"], 1)
    assert (withdrawn.fields["current_in"], withdrawn.fields["withdrawn_why"]) == ([], "bricks boards")
    assert (again.status, again.fields["error"]) == (409, "release 1.0.1 was withdrawn: bricks boards")
    assert release_routes.recall(site.kiln, never) == 1  # goes on in the background
    assert site.kiln.fleet.device(DeviceId("d1")).desired is None


def test_notes_are_edited(site: Site, owner: Browser) -> None:
    build = released(site)

    assert owner.send("PATCH", one(build), json={"notes": "by hand"}).fields["notes"] == "by hand"
    assert owner.send("PATCH", one(build), json={"notes": "x" * (MAX_NOTES_BYTES + 1)}).status == 413
    assert owner.send("PATCH", one(build), json={"notes": "\x00"}).status == 400
    assert owner.send("PATCH", one(build), json={"notes": 5}).status == 400


def test_a_viewer_sees_and_does_not_do(site: Site, viewer: Browser) -> None:
    build = released(site)

    assert viewer.get(f"{LIST}/secret").fields["items"][0]["build"] == build.id
    assert viewer.get(one(build)).fields["devices"] is None
    for method, act, body in (
        ("POST", "/promote", {"channel": "stable"}),
        ("POST", "/withdraw", {"why": "x"}),
        ("PATCH", "", {"notes": "x"}),
    ):
        assert viewer.send(method, one(build, act), json=body).status == 403
    assert site.kiln.builds.current(build.repository, "stable") is None


def test_what_is_not_theirs_looks_like_nothing(site: Site, owner: Browser) -> None:
    build, bare = released(site, "other"), site.build(site.of("secret"), "without a release")

    for browser in (owner, site.browser()):
        assert browser.get(one(build)).status == browser.get("/api/v1/releases/999").status == 404
        assert browser.get(f"{LIST}/other").status == 404
    assert owner.get(one(bare)).fields == {"error": f"build {bare.id} has no release"}


def test_of_a_public_repository_everybody_sees_releases(site: Site) -> None:
    build = released(site, "open")

    assert site.browser().get(one(build)).fields["devices"] is None
    assert site.browser().send("POST", one(build, "/withdraw"), json={"why": "x"}).status == 401


def test_a_withdrawn_release_says_so_on_its_page(site: Site, owner: Browser) -> None:
    build = released(site)
    owner.send("POST", one(build, "/withdraw"), json={"why": "it <bricks> boards"})

    page = owner.get(f"/builds/{build.id}").body.decode()

    assert "it &lt;bricks&gt; boards" in page
    assert owner.get(f"/api/v1/builds/{build.id}").fields["release"]["withdrawn_why"] == "it <bricks> boards"
