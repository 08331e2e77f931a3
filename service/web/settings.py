"""The API of settings at all levels, JSON under /api/v1/settings: of a fleet, of a group, of a device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.configuration import Schema
from service.domain.device import Device, DeviceId, device_id
from service.domain.errors import BadInputError
from service.domain.rights import Right
from service.domain.shared import Layers, Scope
from service.flows.configure import Wish
from service.records import Fleet, SharedSettings
from service.web.bodies import read_fields
from service.web.setting_views import Known, items
from service.web.sight import Sight

WHERE = ("repository", "group", "device")
WIFI = "WIFI_SSID"
OWN_FILE = (
    "{count} boards were never given settings by Kiln. With the first ones they give up the settings.json that was "
    "written onto them: set WIFI_SSID and WIFI_PASSWORD, too, or they come back to that file"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsApi:
    """The routes and what they need. `declared` and `in_use` are what the firmware of a device declares, and each that
    is in use.
    """

    sight: Sight
    fleet: Fleet
    shared: SharedSettings
    layers: Callable[[Device], Layers]
    declared: Callable[[Device], Schema]
    in_use: Callable[[Scope], dict[str, Schema]]
    change_shared: Callable[[Scope, Wish, str], bool]
    change_device: Callable[[DeviceId, Wish, str], Device]

    def routes(self) -> list[Route]:
        path = "/api/v1/settings"
        return [Route(path, self.show, methods=["GET"]), Route(path, self.change, methods=["PUT", "PATCH"])]

    async def show(self, request: Request) -> Response:
        where = {name: request.query_params.get(name, "") for name in WHERE}
        found = await self._which(request, where)
        return JSONResponse(await run_in_threadpool(self._view, found))

    async def change(self, request: Request) -> Response:
        """PUT: these and no others. PATCH: these besides what is set."""
        fields = await read_fields(request, (), (*WHERE, "values", "texts", "unset"))
        found = await self._which(request, fields)
        wish = wish_of(fields, whole=request.method == "PUT")
        return JSONResponse(await run_in_threadpool(self._change, found, wish, self._by(request)), status_code=202)

    def _change(self, found: Scope | Device, wish: Wish, by: str) -> dict[str, Any]:
        if isinstance(found, Device):
            return self._view(self.change_device(found.id, wish, by))
        self.change_shared(found, wish, by)
        return self._view(found)

    def _view(self, found: Scope | Device) -> dict[str, Any]:
        schemas = self.in_use(found if isinstance(found, Scope) else Scope(found.repository))
        if isinstance(found, Device):
            values, schema = self.layers(found), self.declared(found)
            about: dict[str, Any] = {"device": found.id, "group": found.group, "hold": found.hold}
            own: Mapping[str, object] = values.device
        else:
            fleet = self.shared.get(Scope(found.repository))
            own = self.shared.get(found) if found.group else fleet
            values = Layers(fleet=fleet, group=own if found.group else {})
            schema = {name: spec for each in schemas.values() for name, spec in each.items()}
            about = {"device": "", "group": found.group, "left": self.shared.left(found)}
            about |= self._warning(found, values)
        known = Known(schema=schema, secret=_secret([schema, *schemas.values()]))
        return {"repository": found.repository, **about, "items": items(values, own, known)}

    def _warning(self, scope: Scope, values: Layers) -> dict[str, Any]:
        """What no trial should have to find out."""
        if not values.effective or WIFI in values.effective or not (count := self.shared.bare(scope)):
            return {}
        return {"warning": OWN_FILE.format(count=count)}

    async def _which(self, request: Request, where: Mapping[str, str]) -> Scope | Device:
        """Raises: NotFoundError, BadSignatureError, ForbiddenError, BadInputError."""
        repository, group, device = (where.get(name, "") for name in WHERE)
        if device:
            return await self._device(request, device, repository, group)
        if not repository:
            raise BadInputError("say whose settings: a repository, perhaps with a group, or a device")
        found = await self.sight.named(request, repository, Right.DEVICES)
        scope = Scope(found.id, group)
        await run_in_threadpool(self.shared.check, scope)
        return scope

    async def _device(self, request: Request, name: str, repository: str, group: str) -> Device:
        found = await self.sight.named_device(request, device_id(name), self.fleet)
        if repository not in ("", found.repository) or group not in ("", found.group):
            raise BadInputError(f"{found.id} is a device of {found.repository}, and of {found.group or 'no'} group")
        return found

    def _by(self, request: Request) -> str:
        return self.sight.auth.name(request)


def wish_of(fields: Mapping[str, Any], *, whole: bool) -> Wish:
    """Raises: BadInputError."""
    texts, unset = fields.get("texts", {}), fields.get("unset", [])
    if not all(isinstance(each, str) for each in [*texts.values(), *unset]):
        raise BadInputError("'texts' maps names to text, and 'unset' is a list of names")
    return Wish(values=fields.get("values", {}), texts=texts, unset=tuple(unset), whole=whole)


def _secret(schemas: list[Schema]) -> frozenset[str]:
    """What is a secret in any of them is shown for none: other firmware may call the same value a text."""
    return frozenset(name for schema in schemas for name, spec in schema.items() if spec.type == "secret")
