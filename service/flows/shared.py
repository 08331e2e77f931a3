"""Shared: what a fleet or a group is given, and every device's configuration made anew of it, in the background."""

import datetime
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.domain.audit import Deed
from service.domain.configuration import Schema
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, KilnError, OutsideError
from service.domain.shared import Remaking, Scope
from service.flows.configure import OF_OTHERS, Parts, Wish, remade, remake
from service.flows.lacks import refused
from service.records import Made, SharedSettings
from service.records.shared import Values

logger = logging.getLogger("kiln.settings")

BATCH = 32  # devices that are written in one transaction: the door waits for that long, some 10 ms

# Does a thing for each, perhaps at once: signing takes most of the time, and lets other threads run.
Spread = Callable[[Callable[[DeviceId], Made | None], Sequence[DeviceId]], Iterable[Made | None]]


def change(
    scope: Scope,
    wish: Wish,
    schemas: Mapping[str, Schema],
    shared: SharedSettings,
    *,
    by: str,
    now: datetime.datetime,
) -> bool:
    """Whether anything is different now. `schemas` are what each release declares that is the newest of a channel or
    that devices are to run, oldest first, by version: a value has to be one for all of them that know the setting.

    Raises: BadInputError naming the setting, never its value; NotFoundError for a group that is not there.
    """
    new = wish.checked({name: spec for schema in schemas.values() for name, spec in schema.items()})
    for version, schema in schemas.items():
        for name, complaint in refused(schema, new).items():
            raise BadInputError(f"{name} {complaint}, says version {version}")

    def edit(kept: Values) -> Values:
        return wish.applied(kept, new)

    deed = Deed(who=by, what="settings.changed", repository=scope.repository, subject=str(scope), detail=wish.named())
    return shared.change(scope, edit, deed=(deed, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaker:
    """`again` looks at devices that were held once more, and `told` is called when devices have new orders."""

    parts: Parts
    again: Callable[[Sequence[DeviceId]], object]
    told: Callable[[], None]
    spread: Spread = map

    def step(self) -> bool:
        """Some devices of each fleet and group that was changed. Whether there is more to do.

        What is still to be done is in the database: cut off anywhere, the next call goes on. Safe to repeat.
        """
        shared = self.parts.shared
        for each in shared.remaking():
            names = shared.due(each, limit=BATCH)
            self._remake(names)
            shared.advance(each, names[-1] if len(names) == BATCH else None)
            logger.info("settings made anew", extra=_said(each, len(names)))
        return bool(shared.remaking())

    def _remake(self, names: Sequence[DeviceId]) -> None:
        held: list[DeviceId] = []
        found = self.spread(functools.partial(self._made, held=held), names)
        made = [each for each in found if each is not None]
        kept = self.parts.configurations.change_many(made, why=OF_OTHERS, now=self.parts.clock.now()) if made else ()
        for each in made:
            if each.device.id not in kept:  # somebody else changed it at this moment
                self._alone(each.device.id)
        if held:  # also who has the values by now: we were cut off before this, perhaps
            self.again(held)
        if made or held:
            self.told()

    def _made(self, name: DeviceId, *, held: list[DeviceId]) -> Made | None:
        """Its configuration, if it is to have another; one that is held is added to those."""
        try:
            device = self.parts.fleet.device(name)
            if device.hold:
                held.append(name)
            return remade(device, self.parts)
        except OutsideError:
            raise
        except KilnError as error:
            self._note(name, error)
            return None

    def _alone(self, name: DeviceId) -> None:
        try:
            remake(name, self.parts)
        except OutsideError:
            raise
        except KilnError as error:
            self._note(name, error)

    def _note(self, name: DeviceId, error: KilnError) -> None:
        """One device that cannot have them keeps no other from it."""
        logger.warning("settings not made anew", extra={"device": name, "error": str(error)})
        self.parts.fleet.note(name, "settings", f"{OF_OTHERS} not taken: {error}", now=self.parts.clock.now())


def _said(what: Remaking, count: int) -> dict[str, object]:
    return {"repository": what.scope.repository, "scope": str(what.scope), "version": what.version, "devices": count}
