"""What the database keeps sealed: all of it is opened with the same keys, and sealed again when they change."""

from dataclasses import dataclass
from typing import Self

import sqlalchemy as sa

from service.adapters.claims import DatabaseClaims
from service.adapters.configurations import DatabaseConfigurations
from service.adapters.connections import DatabaseConnections
from service.adapters.reseal import Resealer
from service.adapters.sealing import Sealer
from service.adapters.sealing_keys import SealingKeys
from service.adapters.shared import DatabaseSharedSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    connections: DatabaseConnections
    claims: DatabaseClaims
    configurations: DatabaseConfigurations
    shared: DatabaseSharedSettings
    resealer: Resealer

    @classmethod
    def over(cls, engine: sa.Engine, keys: SealingKeys) -> Self:
        """Raises: BadInputError when there is no key where `keys` looks for it."""
        sealer = Sealer(*keys.load())
        return cls(
            connections=DatabaseConnections(engine, sealer),
            claims=DatabaseClaims(engine, sealer),
            configurations=DatabaseConfigurations(engine, sealer),
            shared=DatabaseSharedSettings(engine, sealer),
            resealer=Resealer(engine, sealer, keys),
        )
