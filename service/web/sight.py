"""What a request names, if whoever asks may see it. What is not there and what is not theirs get the same answer."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.domain import near
from service.domain.build import Build, BuildId
from service.domain.device import Device, DeviceId, device_id
from service.domain.errors import BadInputError, NotFoundError
from service.domain.repository import Repository, RepositoryId
from service.domain.rights import Right
from service.records import Builds, Fleet, Repositories
from service.web.auth import NOTHING, Auth
from service.web.deeds import about

MAX_AROUND = 250  # ids before and after one that there is not: so many are compared with it
MAX_BUILD_ID = 2**63 - 1  # what the database counts to


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    auth: Auth
    repositories: Repositories
    builds: Builds

    async def repository(
        self, request: Request, name: str, right: Right = Right.VIEW, *, hides: bool = False
    ) -> Repository:
        """`hides` it as `Auth.require` does. Raises: NotFoundError, BadSignatureError, ForbiddenError."""
        try:
            found = await run_in_threadpool(self.repositories.get, RepositoryId(name))
        except NotFoundError as error:
            # An administrator may see everything, so to them we say which one is missing.
            raise error if self.auth.is_admin(request) else NotFoundError(NOTHING) from error
        self.auth.require(request, right, found, hides=hides)
        about(request, repository=found.id)
        return found

    async def build(self, request: Request, name: int, right: Right = Right.VIEW) -> tuple[Build, Repository]:
        """Raises: NotFoundError, BadSignatureError, ForbiddenError."""
        if name > MAX_BUILD_ID:
            raise NotFoundError(f"no build {name}" if self.auth.is_admin(request) else NOTHING)
        try:
            build = await run_in_threadpool(self.builds.build, BuildId(name))
        except NotFoundError as error:
            raise error if self.auth.is_admin(request) else NotFoundError(NOTHING) from error
        return build, await self.repository(request, build.repository, right)

    async def named(self, request: Request, name: str, right: Right = Right.VIEW) -> Repository:
        """`repository`, whose name was typed: who mistyped it is asked whether they meant one that they may see."""
        try:
            return await self.repository(request, name, right)
        except NotFoundError as error:
            known = await self.visible(request) if self.auth.is_known(request) else ()
            raise NotFoundError(f"{error}{await run_in_threadpool(near.asked, name, known)}") from error

    async def device(self, request: Request, fleet: Fleet) -> Device:
        """The one that the address names, to do anything with. Raises: as `repository`."""
        return await self.named_device(request, request.path_params["device"], fleet)

    async def named_device(self, request: Request, name: str, fleet: Fleet) -> Device:
        """The same of any name; a stranger is asked to sign in, be there one or not. Raises: as `repository`."""
        self.auth.require_known(request)
        try:
            device = await run_in_threadpool(_found, fleet, name)
            await self.repository(request, device.repository, Right.DEVICES, hides=True)
        except NotFoundError as error:
            missing = f"no device {name[:80]!r}" if self.auth.is_admin(request) else NOTHING
            around = await self._around(request, name, fleet)
            # Tens of milliseconds for names that are much alike, and the door must not stand still meanwhile.
            raise NotFoundError(f"{missing}{await run_in_threadpool(near.asked, name, around)}") from error
        return device

    async def _around(self, request: Request, name: str, fleet: Fleet) -> list[DeviceId]:
        """Ids that somebody may have meant and may know."""
        if not self.auth.is_known(request):
            return []
        theirs = None if self.auth.is_admin(request) else (await self.visible(request, Right.DEVICES)).keys()
        return await run_in_threadpool(lambda: fleet.around(name, theirs, limit=MAX_AROUND))

    async def visible(self, request: Request, right: Right = Right.VIEW) -> dict[RepositoryId, Repository]:
        """All repositories to which they have this right."""
        every = await run_in_threadpool(self.repositories.all)
        return {each.id: each for each in every if self.auth.may(request, right, each)}


def _found(fleet: Fleet, name: str) -> Device:
    """What is no id is no device's. Raises: NotFoundError."""
    try:
        return fleet.device(device_id(name))
    except BadInputError as error:
        raise NotFoundError(f"no device {name[:80]!r}") from error
