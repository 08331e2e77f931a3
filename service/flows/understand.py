"""Understand: what was typed before any firmware declared it is read by the first release that does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from service.domain.build import BuildId
from service.domain.configuration import Schema, Secrets, understood
from service.domain.device import Device
from service.domain.errors import ConflictError, NotFoundError
from service.domain.release import Release
from service.domain.shared import Scope
from service.flows import configure
from service.records import Builds
from service.records.shared import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """`declared` answers what the firmware of a build declares, `in_use` the same of each release that
    devices of a scope are to run. `parts` look at no device again: who calls this does.
    """

    parts: configure.Parts
    declared: Callable[[BuildId], Schema]
    in_use: Callable[[Scope], Mapping[str, Schema]]

    def of(self, device: Device, release: Release) -> Device:
        """The device as it is with its values read as this release declares them; what it is to run until it is told of
        this one must take them, too. It itself when there is nothing to read. Safe to repeat.
        """
        schema = self.declared(release.build)
        try:
            before = self.parts.configurations.get(device.id).secrets
            if not schema or understood(before.effective, schema) == before.effective:
                return device
            self._read_shared(device, schema)
            others = self._of_desired(device)

            def edit(kept: Secrets) -> Secrets:
                return replace(kept, settings=understood(kept.settings, schema, others))

            detail = f"read as version {release.version} declares them"
            return configure.change(device.id, edit, self.parts, what="settings", detail=detail)
        except ConflictError:  # they cannot be opened, or it was retired: said where it is looked at
            return device

    def _read_shared(self, device: Device, schema: Schema) -> None:
        """A fleet has devices of other channels, too."""
        for scope in {Scope(device.repository), Scope(device.repository, device.group)}:
            if self.parts.shared.get(scope):
                self._read_scope(scope, schema)

    def _read_scope(self, scope: Scope, schema: Schema) -> None:
        others = list(self.in_use(scope).values())

        def edit(kept: Values) -> Values:
            return understood(kept, schema, others)

        self.parts.shared.change(scope, edit)

    def _of_desired(self, device: Device) -> list[Schema]:
        build = _build_of(device, self.parts.builds)
        return [] if build is None else [self.declared(build)]


def _build_of(device: Device, builds: Builds) -> BuildId | None:
    try:
        return builds.bundle(device.desired).build if device.desired else None
    except NotFoundError:
        return None
