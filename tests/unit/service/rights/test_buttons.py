"""The buttons on a build's page: who sees them, what they do, and that no other page can press them."""

from service.domain.build import BuildId, Delivery, Status
from service.domain.event import Event, EventKind, Request
from tests.fakes.site import Browser, Site

COMMIT = "f" * 40


def request_of_a_fork(site: Site) -> BuildId:
    repository = site.of("secret")
    event = Event(
        kind=EventKind.REQUEST,
        delivery="pull",
        path=repository.path,
        ref="refs/pull/7/head",
        commit=COMMIT,
        request=Request(number=7, is_fork=True),
    )
    delivery = Delivery(repository=repository.id, event=event)
    build = site.kiln.builds.accept([delivery], now=site.kiln.clock.now())[0].build
    assert build is not None
    return build


def test_an_owner_approves_exactly_the_commit_that_the_page_showed(site: Site, owner: Browser) -> None:
    build = request_of_a_fork(site)
    page = owner.get(f"/builds/{build}").body.decode()

    other = owner.post(f"/builds/{build}/approve", commit="0" * 40)
    pressed = owner.post(f"/builds/{build}/approve", commit=COMMIT)

    assert f'name="commit" value="{COMMIT}"' in page
    assert other.status == 409
    assert (pressed.status, pressed.headers["location"]) == (303, f"/builds/{build}")
    assert site.kiln.builds.build(build).status is Status.QUEUED
    assert owner.post(f"/builds/{build}/approve", commit=COMMIT).status == 409


def test_an_owner_cancels_and_builds_again(site: Site, owner: Browser) -> None:
    build = site.build(site.of("secret"))

    early = owner.post(f"/builds/{build.id}/rerun")
    cancelled = owner.post(f"/builds/{build.id}/cancel")
    again = owner.post(f"/builds/{build.id}/rerun")

    assert early.status == 409
    assert cancelled.status == 303
    assert site.kiln.builds.build(build.id).message == "cancelled by hand"
    assert again.headers["location"] == f"/builds/{build.id + 1}"
    assert owner.post(f"/builds/{build.id}/explode").status == 404


def test_who_may_only_look_sees_no_buttons_and_presses_none(site: Site, viewer: Browser) -> None:
    waiting, running = request_of_a_fork(site), site.build(site.of("secret"))

    for build in (waiting, running.id):
        assert "<button>" not in viewer.get(f"/builds/{build}").body.decode()
        for act in ("approve", "cancel", "rerun"):
            assert viewer.post(f"/builds/{build}/{act}", commit=COMMIT).status == 403
            assert site.browser().post(f"/builds/{build}/{act}", commit=COMMIT).status == 404
    assert site.kiln.builds.build(waiting).status is Status.WAITING


def test_another_sites_page_presses_nothing(site: Site, owner: Browser) -> None:
    build = request_of_a_fork(site)
    owner.origin = "https://evil.example"

    reply = owner.post(f"/builds/{build}/approve", commit=COMMIT)

    assert reply.status == 403
    assert site.kiln.builds.build(build).status is Status.WAITING
