"""Releases and the channels that point at them, wired."""

from collections.abc import Callable

from starlette.routing import Route

from service import configuring
from service.configuring import Declared
from service.domain.build import BuildId
from service.flows import announce, promote, withdraw
from service.kiln import Kiln
from service.web.releases import ReleaseApi
from service.web.sight import Sight

PublishAnew = Callable[[BuildId], object]


def for_people(
    kiln: Kiln, sight: Sight, announced: Callable[[], None], declared: Declared, publish_anew: PublishAnew
) -> list[Route]:
    parts = _parts(kiln, announced, configuring.obstacle(kiln, declared), publish_anew)

    def withdrawn(name: BuildId, why: str) -> withdraw.Withdrawn:
        done = withdraw.withdraw(name, why, parts)
        announced()
        return done

    api = ReleaseApi(
        sight=sight,
        builds=kiln.builds,
        channels=kiln.channels,
        promote=lambda name, channel, by: promote.promote(name, channel, parts, by=by),
        withdraw=withdrawn,
        base_url=kiln.settings.url,
    )
    return api.routes()


def _parts(
    kiln: Kiln, announced: Callable[[], None], obstacle: announce.Obstacle, publish_anew: PublishAnew
) -> promote.Parts:
    def begin(name: BuildId, channel: str, _by: str) -> None:
        announce.announce(
            name,
            builds=kiln.builds,
            fleet=kiln.fleet,
            keys=kiln.keys,
            clock=kiln.clock,
            obstacle=obstacle,
            channel=channel,
        )
        announced()

    return promote.Parts(
        builds=kiln.builds,
        channels=kiln.channels,
        fleet=kiln.fleet,
        keys=kiln.keys,
        clock=kiln.clock,
        obstacle=obstacle,
        publish_anew=publish_anew,
        begin=begin,
        stop=lambda _name, _why: None,  # who was told is told anew by `recall`
    )
