"""Roll-outs and plans, wired."""

from starlette.routing import Route

from service import rolling
from service.declared import Declared
from service.kiln import Kiln
from service.web.rollouts import RolloutApi
from service.web.sight import Sight


def for_people(kiln: Kiln, sight: Sight) -> list[Route]:
    return RolloutApi(sight=sight, parts=rolling.parts(kiln), channels=Declared(kiln).channels).routes()
