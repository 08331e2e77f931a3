"""Whose turn it is to be looked after: webhooks, failed deliveries, and forges that ask to be left alone."""

import datetime
import itertools

import pytest

from service.domain.build import Delivery, Status
from service.domain.errors import ForgeError, ForgeRefusedError, SourceError
from service.domain.event import Event, EventKind, Request
from service.domain.hook import HookState
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows import recover
from service.flows.keep import Keeper
from service.flows.recover import KEPT, OVERLAP, Recovery
from service.forge import RemoteHook
from tests.fakes.door import repository
from tests.fakes.forge import MemoryForge, MemoryForges
from tests.fakes.sources import FolderSources
from tests.unit.service.conftest import BLINK, NOW, World

LAMP = repository(Forge.GITHUB, "acme/lamp", connection="acme")
FAN = repository(Forge.GITLAB, "acme/fan", connection="other")


class Heads(FolderSources):
    """Sources whose heads are set, and which may be away."""

    def __init__(self) -> None:
        super().__init__({})
        self.now: dict[str, str] = {}
        self.looked: list[RepositoryId] = []
        self.error: Exception | None = None

    def heads(self, repository: Repository) -> dict[str, str]:
        self.looked.append(repository.id)
        if self.error is not None:
            raise self.error
        return dict(self.now)


class Stage:
    def __init__(self, world: World) -> None:
        self.world = world
        world.repositories.remove(BLINK.id)
        self.forges = MemoryForges()
        self.sources = Heads()
        self.lamp, self.fan = (self._follow(each) for each in (LAMP, FAN))
        ids = itertools.count()
        self.recovery = Recovery(
            repositories=world.repositories,
            builds=world.builds,
            sources=self.sources,
            clock=world.clock,
            base_url="http://kiln",
            new_id=lambda: f"found-{next(ids)}",
        )
        self.restart()

    def _follow(self, repository: Repository) -> MemoryForge:
        self.world.repositories.add(repository)
        return self.forges.add(repository, MemoryForge(self.world.clock))

    def restart(self) -> None:
        self.keeper = Keeper(
            self.recovery,
            repositories=self.world.repositories,
            forges=self.forges,
            clock=self.world.clock,
            every_s=900,
            chance=lambda: 0.5,
        )

    def look(self, seconds: int = 10) -> None:
        for _ in range(seconds):
            while self.keeper.look():
                pass
            self.world.clock.move(seconds=1)


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


def test_all_are_looked_at_after_a_start_and_then_on_their_schedule(stage: Stage) -> None:
    stage.look()
    first = list(stage.sources.looked)
    stage.lamp.pushes += 1
    stage.look(901)

    assert sorted(first) == [LAMP.id, FAN.id]
    assert stage.sources.looked[2:] == [LAMP.id]  # of the other the forge says that nothing was pushed
    assert stage.fan.calls["unchanged"] == 2


def test_a_webhook_is_looked_at_and_what_is_wrong_is_kept_and_said(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.lamp.hook = RemoteHook(id="1", state=HookState.DISABLED, detail="until tomorrow")
    stage.look()

    hook = stage.world.repositories.hook(LAMP.id)
    assert (hook.state, hook.detail, hook.id) == (HookState.DISABLED, "until tomorrow", "1")
    assert hook.checked_at is not None
    assert "webhook broken" in caplog.messages
    assert stage.world.repositories.hook(FAN.id).state is HookState.OK


def test_a_webhook_that_we_may_not_see_is_unknown_and_says_why(stage: Stage) -> None:
    stage.lamp.error = ForgeRefusedError("the token has no right to webhooks")
    stage.look()

    hook = stage.world.repositories.hook(LAMP.id)
    assert (hook.state, hook.detail) == (
        HookState.UNKNOWN,
        "the forge does not show it: the token has no right to webhooks",
    )
    assert hook.reconciled_at is not None  # git was asked all the same


def test_failed_deliveries_are_sent_again_since_the_last_time_with_some_overlap(stage: Stage) -> None:
    stage.lamp.failed = [NOW - KEPT - datetime.timedelta(days=1), NOW - datetime.timedelta(days=6)]
    stage.look()
    assert len(stage.lamp.failed) == 1  # the forge does not have it any more

    recovered = stage.world.repositories.hook(LAMP.id).recovered_at
    assert recovered is not None
    stage.lamp.failed = [recovered - OVERLAP * 2, recovered - OVERLAP / 2]
    stage.look(3601)
    assert stage.lamp.failed == [recovered - OVERLAP * 2]


def test_deliveries_are_not_asked_for_before_the_door_is_open(stage: Stage) -> None:
    stage.look(3)
    assert stage.lamp.calls["redeliver_failed"] == 0
    assert stage.sources.looked != []


def test_a_forge_that_asks_to_wait_is_left_alone_and_git_is_not(stage: Stage) -> None:
    stage.look()
    stage.lamp.error = ForgeError("slow down", retry_after_s=1800)
    stage.look(1000)
    calls = stage.lamp.calls.total()
    stage.look(700)

    assert stage.lamp.calls.total() == calls
    assert stage.sources.looked.count(LAMP.id) == 2
    stage.lamp.error = None
    stage.look(3600)
    assert stage.lamp.calls["check_hook"] == 2


def test_a_repository_that_git_cannot_read_is_tried_again_and_the_doubt_stays(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.look()
    stage.sources.error = SourceError("no answer")
    stage.world.repositories.keep_hook(LAMP.id, is_doubtful=True)
    before = len(stage.sources.looked)
    stage.look(60)

    tries = len(stage.sources.looked) - before
    assert 3 <= tries <= 8  # further and further apart
    assert "heads not looked at" in caplog.messages
    assert stage.world.repositories.doubtful() == [LAMP.id]
    stage.sources.error = None
    stage.look(120)
    assert stage.world.repositories.doubtful() == []


def test_a_doubt_comes_before_the_schedule(stage: Stage) -> None:
    stage.look()
    stage.world.repositories.keep_hook(FAN.id, is_doubtful=True)
    stage.world.clock.move(hours=1)
    stage.keeper.look()

    assert stage.sources.looked[2:] == [FAN.id]


def test_a_fault_of_ours_with_one_repository_does_not_hold_up_the_others(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.lamp.error = RuntimeError("a fault")
    stage.look()

    assert stage.world.repositories.hook(FAN.id).state is HookState.OK
    assert "webhook not looked at" in caplog.messages


def test_a_repository_that_is_not_followed_any_more_is_let_be(stage: Stage) -> None:
    stage.look()
    stage.world.repositories.keep_hook(LAMP.id, is_doubtful=True)
    stage.world.repositories.remove(LAMP.id)
    stage.look(2000)

    assert stage.sources.looked.count(LAMP.id) == 1


def test_what_no_push_would_have_built_is_not_found(stage: Stage) -> None:
    stage.look()
    stage.sources.now = {
        "refs/heads/gh-readonly-queue/main/pr-1": "a" * 40,
        "refs/heads/bad\u202ename": "b" * 40,
        "refs/heads/.hidden": "c" * 40,
        "refs/heads/good": "d" * 40,
        "refs/heads/odd": "not a commit",
        "HEAD": "e" * 40,
    }
    stage.lamp.pushes += 1
    stage.look(1200)

    assert [(each.repository, each.ref) for each in stage.world.builds.builds()] == [(LAMP.id, "refs/heads/good")]


def test_a_requests_build_is_not_stopped_for_want_of_a_head(stage: Stage) -> None:
    event = Event(
        kind=EventKind.REQUEST,
        delivery="d",
        path="acme/lamp",
        ref="refs/pull/7/head",
        commit="a" * 40,
        request=Request(number=7, is_fork=True),
    )
    stage.world.builds.accept([Delivery(repository=LAMP.id, event=event)], now=NOW)
    stage.look()

    assert [each.status for each in stage.world.builds.builds()] == [Status.WAITING]


def test_what_took_the_place_of_a_repository_is_not_built_in_its_name(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It was renamed, the delivery was lost, and somebody made another of the old name."""
    stage.world.repositories.change(LAMP.id, forge_id="7")
    stage.lamp.place = ("7", "acme/lamp")
    stage.look()
    stage.sources.now = {"refs/heads/main": "b" * 40}
    stage.lamp.place = ("8", "acme/lamp")
    stage.lamp.pushes += 1

    stage.look(901)

    assert [each for each in stage.world.builds.builds() if each.repository == LAMP.id] == []
    assert any("is another repository" in str(getattr(each, "error", "")) for each in caplog.records)


def test_a_repository_that_moved_without_a_word_is_followed(stage: Stage) -> None:
    stage.world.repositories.change(LAMP.id, forge_id="7", url="https://x/acme/lamp.git")
    stage.lamp.place = ("7", "ada/torch")

    stage.look()

    kept = stage.world.repositories.get(LAMP.id)
    assert (kept.path, kept.url) == ("ada/torch", "https://x/ada/torch.git")
    assert LAMP.id in stage.sources.looked


def test_a_forge_that_is_away_does_not_keep_git_from_being_asked(stage: Stage) -> None:
    stage.world.repositories.change(LAMP.id, forge_id="7")
    stage.lamp.error = ForgeError("the forge does not answer")

    stage.look()

    assert LAMP.id in stage.sources.looked


def test_a_clock_that_is_set_back_keeps_nobody_waiting(stage: Stage) -> None:
    stage.lamp.error = ForgeError("wait", retry_after_s=3600)
    stage.sources.error = SourceError("away")
    stage.look()
    looked = len(stage.sources.looked)
    stage.lamp.error = stage.sources.error = None

    stage.world.clock.move(days=-2)
    stage.look()

    assert len(stage.sources.looked) == looked + 2
    assert stage.world.repositories.hook(LAMP.id).state is HookState.OK


def test_tags_that_were_missed_are_built_in_the_order_of_their_numbers() -> None:
    tags = [f"refs/tags/{name}" for name in ("v1.9.0", "v1.10.0", "nightly", "v1.2.0")]

    ordered = recover._ordered(["refs/heads/dev", *tags, "refs/heads/main"], "main")

    assert ordered == [
        "refs/heads/main",
        "refs/heads/dev",
        "refs/tags/nightly",
        "refs/tags/v1.2.0",
        "refs/tags/v1.9.0",
        "refs/tags/v1.10.0",
    ]
