"""Settings as JSON: values of those alone that are declared, and secrets nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.configuration import OF_THE_AGENT, Schema
from service.domain.shared import Layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is declared, and the names of secrets."""

    schema: Schema
    secret: frozenset[str]


def items(values: Layers, own: Mapping[str, object], known: Known) -> list[dict[str, Any]]:
    """One for each setting that is declared or has a value. `own` are those of the level that was asked for."""
    names = sorted({*values.effective, *known.schema})
    return [_item(name, values, name in own, known) for name in names]


def _item(name: str, values: Layers, is_set: bool, known: Known) -> dict[str, Any]:
    spec, origin = known.schema.get(name), values.origin(name, known.schema)
    is_secret = name in known.secret
    fields: dict[str, Any] = {
        "name": name,
        "type": "secret" if is_secret else spec.type if spec else None,
        "is_set": is_set,
        "from": origin.value if origin else None,
        "needed": spec is not None and spec.is_needed and name not in OF_THE_AGENT,
        "help": spec.help if spec else "",
    }
    if spec is not None and not is_secret:
        fields |= {"value": values.effective.get(name, spec.default), "default": spec.default}
    return fields
