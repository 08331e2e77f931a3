"""Pages of one device: a form that makes it, and what it is, with its archive. No script is needed for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from runners.contract.setting import MAX_SETTINGS
from service.domain.device import Device
from service.domain.errors import BadInputError, ConflictError, KilnError, NotFoundError
from service.domain.reasons import sentence
from service.domain.repository import Repository, RepositoryId
from service.domain.rights import Right
from service.flows.configure import Wish
from service.flows.enrol import Enrolled, Request as Wanted
from service.flows.offer import Offer
from service.records import Fleet
from service.web.bodies import read_form
from service.web.sight import Sight

SETTING = "set."  # before the names of settings among the fields of the form
MAX_FORM_BYTES = 64 << 10
MAX_FORM_FIELDS = MAX_SETTINGS + 8
SHOWN_EVENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePages:
    """`create` enrols a device for somebody. `flash` answers the name of a device's flash
    image, or none and why; `settings` the names of what is set.
    """

    sight: Sight
    fleet: Fleet
    page: Callable[..., Response]
    offer: Callable[[RepositoryId], Offer]
    create: Callable[[Wanted, str], Enrolled]
    flash: Callable[[Device], tuple[str, str]]
    settings: Callable[[Device], list[str]]

    def routes(self) -> list[Route]:
        return [
            Route("/new-device", self.new, methods=["GET"]),
            Route("/new-device", self.add, methods=["POST"]),
            Route("/devices/{device}", self.show, methods=["GET"]),
        ]

    async def new(self, request: Request) -> Response:
        """Of which repository; then what device of it."""
        if not self.sight.auth.is_known(request):
            return RedirectResponse("/login?next=/new-device", status_code=303)
        theirs = list((await self.sight.visible(request, Right.DEVICES)).values())
        name = request.query_params.get("repository", "")
        if name or len(theirs) == 1:
            repository = await self.sight.named(request, name or theirs[0].id, Right.DEVICES)
            return await self._form(request, repository)
        return self.page("new_device.html", request, repositories=theirs, repository=None, said="")

    async def add(self, request: Request) -> Response:
        given = await read_form(request, max_bytes=MAX_FORM_BYTES, max_fields=MAX_FORM_FIELDS)
        typed = {name: values[0] for name, values in given.items()}
        repository = await self.sight.named(request, typed.get("repository", ""), Right.DEVICES)
        texts = {name.removeprefix(SETTING): text for name, text in typed.items() if name.startswith(SETTING) and text}
        wanted = Wanted(
            id=typed.get("id", "").strip(),
            repository=repository.id,
            board=typed.get("board", ""),
            channel=typed.get("channel", ""),
            wish=Wish(texts=texts),
        )
        try:
            made = await run_in_threadpool(self.create, wanted, self.sight.auth.name(request))
        except (BadInputError, ConflictError, NotFoundError) as error:
            return await self._form(request, repository, typed=typed, error=error)
        return RedirectResponse(f"/devices/{made.device.id}", status_code=303)

    async def _form(
        self,
        request: Request,
        repository: Repository,
        *,
        typed: Mapping[str, str] | None = None,
        error: KilnError | None = None,
    ) -> Response:
        """What was typed stays, but for secrets: those are in no page."""
        offer = await run_in_threadpool(self.offer, repository.id)
        secret = {f"{SETTING}{each.name}" for each in offer.settings if each.type == "secret"}
        kept = {name: text for name, text in (typed or {}).items() if name not in secret}
        said = str(error) if error else ""
        response = self.page("new_device.html", request, repository=repository, offer=offer, typed=kept, said=said)
        response.status_code = 400 if error else 200
        return response

    async def show(self, request: Request) -> Response:
        if not self.sight.auth.is_known(request):
            return RedirectResponse("/login?next=/devices", status_code=303)
        device = await self.sight.device(request, self.fleet)
        events = await run_in_threadpool(lambda: self.fleet.events(device.id, limit=SHOWN_EVENTS))
        image, missing = await run_in_threadpool(self.flash, device)
        return self.page(
            "device.html",
            request,
            device=device,
            why=sentence(device.report.reason) if device.report else "",
            events=events,
            image=image,
            missing=missing,
            settings=await run_in_threadpool(self.settings, device),
        )
