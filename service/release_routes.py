"""Releases and the channels that point at them, wired."""

from collections.abc import Callable

from starlette.routing import Route

from service import rolling
from service.declared import Declared
from service.domain.build import BuildId
from service.flows import lead_back, promote, rollouts, settle, stay, steer, withdraw
from service.kiln import Kiln
from service.web.releases import ReleaseApi
from service.web.sight import Sight

PublishAnew = Callable[[BuildId], object]


def for_people(kiln: Kiln, sight: Sight, publish_anew: PublishAnew) -> list[Route]:
    parts = _parts(kiln, publish_anew)

    def withdrawn(name: BuildId, why: str, by: str, roll_back: bool) -> withdraw.Withdrawn:
        done = withdraw.withdraw(name, why, parts, by=by, roll_back=roll_back)
        kiln.withdrawn.ring()
        return done

    api = ReleaseApi(
        sight=sight,
        builds=kiln.builds,
        channels=kiln.channels,
        promote=lambda name, channel, by, is_new: promote.promote(name, channel, parts, by=by, is_new=is_new),
        withdraw=withdrawn,
        base_url=kiln.settings.url,
    )
    return api.routes()


def recall(kiln: Kiln, publish_anew: PublishAnew) -> int:
    """What promotions and withdrawals leave to be done, which may be much; how many devices had another order by
    withdrawals. Safe to repeat.
    """
    parts = _parts(kiln, publish_anew)
    rollouts.begin_promoted(rolling.parts(kiln))
    done = sum(withdraw.recall(name, parts) for name in kiln.channels.recalled())
    if done:
        kiln.told.ring()
    return done


def _parts(kiln: Kiln, publish_anew: PublishAnew) -> promote.Parts:
    rolls = rolling.parts(kiln)

    def begin(name: BuildId, channel: str, by: str) -> None:
        rollouts.begin(name, rolls, channel=channel, by=by, again=True)

    def stop(name: BuildId, why: str) -> None:
        steer.stop(name, why, rolls)
        lead_back.instead(name, rolls)
        kiln.stirred.ring()

    return promote.Parts(
        builds=kiln.builds,
        channels=kiln.channels,
        fleet=kiln.fleet,
        keys=kiln.keys,
        clock=kiln.clock,
        publish_anew=publish_anew,
        begin=begin,
        stop=stop,
        undo=lambda name: lead_back.undo(name, rolls),
        settle=lambda name: settle.settle(name, rolls),
        stay=lambda device: stay.stay(device, rolls),
        resume=lambda repository, channel, by: rollouts.resume(repository, channel, rolls, by=by),
        named=Declared(kiln).channels,
    )
