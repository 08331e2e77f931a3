"""The API of roll-outs, JSON under /api/v1/rollouts, and of the plans of channels, under /api/v1/plans."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.device import DeviceId, device_id
from service.domain.errors import BadInputError, NotFoundError
from service.domain.release import channel_name
from service.domain.repository import Repository
from service.domain.rights import Right
from service.domain.rollout import Rollout, RolloutId, RowState
from service.domain.rollout_plan import DEFAULT, Plan
from service.flows import known, steer
from service.flows.rollout_parts import Parts
from service.web import rollout_views as views
from service.web.auth import NOTHING
from service.web.bodies import read_fields
from service.web.paging import MAX_NUMBER, limit_of, page_of
from service.web.sight import Sight

MAX_NAMED = 100  # devices that failed, or have no outcome, in the picture of one roll-out
MAX_WHY_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutApi:
    sight: Sight
    parts: Parts
    channels: known.Channels

    def routes(self) -> list[Route]:
        rollouts = "/api/v1/rollouts"
        one = f"{rollouts}/{{rollout:int}}"
        return [
            Route(rollouts, self.every, methods=["GET"]),
            Route(one, self.show, methods=["GET"]),
            Route(f"{one}/devices", self.devices, methods=["GET"]),
            Route(f"{one}/plan", self.replan, methods=["PUT"]),
            Route(f"{one}/pause", self.pause, methods=["POST"]),
            Route(f"{one}/resume", self.resume, methods=["POST"]),
            Route(f"{one}/approve", self.approve, methods=["POST"]),
            Route(f"{one}/abort", self.abort, methods=["POST"]),
            Route(f"{one}/retry", self.retry, methods=["POST"]),
            Route("/api/v1/plans", self.plan, methods=["GET"]),
            Route("/api/v1/plans", self.change_plan, methods=["PUT"]),
            Route("/api/v1/plans", self.drop_plan, methods=["DELETE"]),
        ]

    async def every(self, request: Request) -> Response:
        """Newest first; of one repository or one channel where `?repository=` and `&channel=` say so."""
        asked = request.query_params
        if asked.get("repository"):
            theirs = [(await self.sight.named(request, asked["repository"], Right.DEVICES)).id]
        else:
            self.sight.auth.require_known(request)
            theirs = list(await self.sight.visible(request, Right.DEVICES))
        limit, before = page_of(request)
        channel = asked.get("channel", "")

        def read() -> list[dict[str, Any]]:
            found = self.parts.rollouts.page(theirs, channel=channel, before=before or 0, limit=limit + 1)
            return [views.rollout(each, self._version(each)) for each in found]

        found = await run_in_threadpool(read)
        following = str(found[limit - 1]["id"]) if len(found) > limit else None
        return JSONResponse({"items": found[:limit], "next": following})

    async def show(self, request: Request) -> Response:
        return await self._shown(await self._which(request))

    async def devices(self, request: Request) -> Response:
        """In the order of their ids; those in one state where `?state=` says so."""
        rollout = await self._which(request)
        limit = limit_of(request)
        states = _states(request.query_params.get("state", ""))
        after = request.query_params.get("after", "")
        found = await run_in_threadpool(
            lambda: self.parts.crowd.page(rollout.id, states=states, after=after, limit=limit + 1)
        )
        following = found[limit - 1].device if len(found) > limit else None
        return JSONResponse({"items": [views.row(each) for each in found[:limit]], "next": following})

    async def replan(self, request: Request) -> Response:
        """Of this roll-out alone."""
        await self._which(request)
        wanted = Plan.parse((await read_fields(request, ("plan",)))["plan"])
        return await self._steer(request, lambda name, by: steer.replan(name, wanted, self.parts, by=by))

    async def pause(self, request: Request) -> Response:
        return await self._steer(request, lambda name, by: steer.pause(name, self.parts, by=by))

    async def resume(self, request: Request) -> Response:
        return await self._steer(request, lambda name, by: steer.resume(name, self.parts, by=by))

    async def approve(self, request: Request) -> Response:
        return await self._steer(request, lambda name, by: steer.approve(name, self.parts, by=by))

    async def abort(self, request: Request) -> Response:
        await self._which(request)  # who may not do it is told so before anything is read
        why = (await read_fields(request, (), ("why",))).get("why", "")
        if len(why) > MAX_WHY_CHARS or not why.isprintable():
            raise BadInputError(f"why has at most {MAX_WHY_CHARS} characters on one line")
        return await self._steer(request, lambda name, by: steer.abort(name, self.parts, by=by, why=why))

    async def retry(self, request: Request) -> Response:
        """Those that failed, or the devices that are named."""
        await self._which(request)
        named = (await read_fields(request, (), ("devices",))).get("devices")
        devices = None if named is None else _ids(named)
        return await self._steer(request, lambda name, by: steer.retry(name, devices, self.parts, by=by)[0])

    async def plan(self, request: Request) -> Response:
        repository, channel = await self._channel(request, request.query_params)
        found = await run_in_threadpool(self.parts.rollouts.plan, repository.id, channel)
        return _planned(repository, channel, found)

    async def change_plan(self, request: Request) -> Response:
        fields = await read_fields(request, ("repository", "channel", "plan"))
        repository, channel = await self._channel(request, fields)
        wanted = Plan.parse(fields["plan"])
        await run_in_threadpool(known.check, repository.id, channel, self.channels)
        await self._keep_plan(request, repository, channel, wanted)
        warning = await run_in_threadpool(steer.nobody, repository.id, channel, wanted, self.parts)
        return _planned(repository, channel, wanted, warning)

    async def drop_plan(self, request: Request) -> Response:
        repository, channel = await self._channel(request, request.query_params)
        await self._keep_plan(request, repository, channel, None)
        return _planned(repository, channel, None)

    async def _keep_plan(self, request: Request, repository: Repository, channel: str, wanted: Plan | None) -> None:
        by = self.sight.auth.name(request)
        await run_in_threadpool(lambda: steer.plan(repository.id, channel, wanted, self.parts, by=by))

    async def _channel(self, request: Request, fields: Any) -> tuple[Repository, str]:  # both kinds of mappings
        repository, channel = fields.get("repository"), fields.get("channel")
        if not repository or not channel:
            raise BadInputError("repository and channel say whose plan it is")
        found = await self.sight.named(request, repository, Right.DEVICES)
        return found, channel_name(channel)

    async def _steer(self, request: Request, act: Callable[[RolloutId, str], Rollout]) -> Response:
        rollout, by = await self._which(request), self.sight.auth.name(request)
        changed = await run_in_threadpool(act, rollout.id, by)
        self.parts.stirred()
        return await self._shown(changed, status=202)

    async def _shown(self, rollout: Rollout, status: int = 200) -> Response:
        def read() -> dict[str, Any]:
            crowd = self.parts.crowd
            failed = crowd.page(rollout.id, states=[RowState.FAILED], limit=MAX_NAMED)
            trying = crowd.page(rollout.id, states=[RowState.ORDERED], limit=MAX_NAMED)
            return views.whole(rollout, self._version(rollout), crowd.totals(rollout), failed, trying)

        return JSONResponse(await run_in_threadpool(read), status_code=status)

    def _version(self, rollout: Rollout) -> str:
        release = self.parts.builds.release(rollout.build)
        return release.version if release else ""

    async def _which(self, request: Request) -> Rollout:
        """Raises: NotFoundError, BadSignatureError, ForbiddenError."""
        self.sight.auth.require_known(request)
        name = request.path_params["rollout"]
        if name > MAX_NUMBER:
            raise NotFoundError(NOTHING)
        try:
            rollout = await run_in_threadpool(self.parts.rollouts.get, RolloutId(name))
        except NotFoundError as error:
            raise error if self.sight.auth.is_admin(request) else NotFoundError(NOTHING) from error
        await self.sight.repository(request, rollout.repository, Right.DEVICES, hides=True)
        return rollout


def _planned(repository: Repository, channel: str, plan: Plan | None, warning: str = "") -> Response:
    """What holds, whether somebody said so or not."""
    shown = (plan or DEFAULT).to_json()
    answer = {"repository": repository.id, "channel": channel, "is_default": plan is None, "plan": shown}
    return JSONResponse(answer | ({"warning": warning} if warning else {}))


def _states(text: str) -> list[RowState]:
    try:
        return [RowState(text)] if text else []
    except ValueError as error:
        raise BadInputError(f"state is one of {', '.join(each.value for each in RowState)}") from error


def _ids(named: list[Any]) -> list[DeviceId]:
    if not all(isinstance(each, str) for each in named) or not 0 < len(named) <= MAX_NAMED:
        raise BadInputError(f"devices is a list of 1 to {MAX_NAMED} ids")
    return [device_id(each) for each in named]
