"""What one device is told beside its release: settings, credentials, the wanted agent (docs/ota.md, Configuration)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.contract.setting import MAX_SETTINGS, MAX_TEXT_CHARS, SettingSpec, is_setting_name
from service.domain.bundle import canonical
from service.domain.errors import BadInputError, TooLargeError

MAGIC = b"KILNC1\n"  # followed by IV and AES-256-CBC
PLAIN_MAGIC = b"KILNC0\n"  # for a device without a key
MAX_CONFIGURATION_BYTES = 4096
KEY_BYTES = 32  # of AES-256
OF_THE_AGENT = frozenset({"WIFI_SSID", "WIFI_PASSWORD"})  # what the agent itself reads, whatever a manifest declares
OVERRIDES = ("token", "base", "recovery", "mqtt", "redirects", "tls")

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """All that is kept sealed of a device. `device` replaces keys of its device.json.

    `shared` is what its fleet and its group had when this was made; what is its own stands above that.
    """

    key: bytes = field(default=b"", repr=False)  # empty: enrolled before devices had one
    token: str = field(default="", repr=False)  # as it was enrolled; empty: before Kiln kept it
    settings: Mapping[str, Value] = field(default_factory=dict, repr=False)
    shared: Mapping[str, Value] = field(default_factory=dict, repr=False)
    device: Mapping[str, Any] = field(default_factory=dict, repr=False)
    agent: Mapping[str, Any] = field(default_factory=dict)  # {release, size, counter}, or nothing

    @property
    def effective(self) -> dict[str, Value]:
        """The settings that the application gets; what no value stands for here has its default there."""
        return {**self.shared, **self.settings}

    @property
    def says_something(self) -> bool:
        """Whether a configuration made of this would tell the device anything."""
        return bool(self.settings or self.shared or self.device or self.agent)

    def payload(self) -> bytes:
        """The JSON of a configuration, before it is encrypted."""
        value: dict[str, Any] = {"v": 1, "settings": self.effective}
        value |= {name: dict(part) for name in ("device", "agent") if (part := getattr(self, name))}
        return canonical(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The newest configuration of a device, and what it was made of."""

    secrets: Secrets = field(default_factory=Secrets)
    content: bytes = field(default=b"", repr=False)  # as the device fetches it; empty: none was ever made
    mark: str = field(default="", repr=False, compare=False)  # another one whenever anything of it was kept anew

    @property
    def digest(self) -> str:
        """How orders name it; empty for none."""
        return hashlib.sha256(self.content).hexdigest() if self.content else ""


def check_size(content: bytes) -> bytes:
    """Raises: TooLargeError."""
    if len(content) > MAX_CONFIGURATION_BYTES:
        raise TooLargeError(
            f"the configuration would have {len(content)} bytes; a device takes {MAX_CONFIGURATION_BYTES}"
        )
    return content


Schema = Mapping[str, SettingSpec]


def checked(values: Mapping[str, object], schema: Schema) -> dict[str, Value]:
    """Settings as a device may be given them. An empty schema declares nothing, and then any name is good.

    Raises: BadInputError naming the setting; never its value.
    """
    if len(values) > MAX_SETTINGS:
        raise BadInputError(f"{len(values)} settings: a device takes at most {MAX_SETTINGS}")
    return {name: _checked(name, value, schema) for name, value in values.items()}


def _checked(name: str, value: object, schema: Schema) -> Value:
    if not is_setting_name(name):
        raise BadInputError(f"a setting's name has letters, digits and '_', at most 64: {name[:80]!r}")
    spec = schema.get(name)
    if spec is None:
        if schema and name not in OF_THE_AGENT:
            raise BadInputError(f"{name} is not a setting of this firmware; it has {', '.join(sorted(schema))}")
        spec = SettingSpec(name=name, type=_kind(value))
    if not _is_json(value):
        raise BadInputError(f"{name} is no value that JSON can hold")
    if complaint := spec.complaint(value):
        raise BadInputError(f"{name} {complaint}" + (f" of at most {MAX_TEXT_CHARS} characters" * _is_text(spec)))
    assert isinstance(value, str | int | float | bool)
    return value


def from_text(name: str, text: str, schema: Schema) -> Value:
    """The value that somebody typed. Without a declaration it is text. Raises: BadInputError."""
    spec = schema.get(name)
    match spec.type if spec else "string":
        case "boolean" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "integer" | "number" as kind:
            try:
                return int(text) if kind == "integer" else _number(text)
            except ValueError as error:
                raise BadInputError(f"{name} must be {'a whole' if kind == 'integer' else 'a'} number") from error
        case "boolean":
            raise BadInputError(f"{name} must be true or false")
        case _:
            return text


def understood(values: Mapping[str, Value], schema: Schema, others: Iterable[Schema] = ()) -> dict[str, Value]:
    """The same values, with those read by `schema` that are text where it wants something else: typed before any
    firmware said what they are. What it, or any of the `others`, would refuse stays as it is.
    """
    return {name: _understood(name, value, schema, [*others]) for name, value in values.items()}


def _understood(name: str, value: Value, schema: Schema, others: list[Schema]) -> Value:
    spec = schema.get(name)
    if spec is None or not isinstance(value, str) or not spec.complaint(value):
        return value
    try:
        found = from_text(name, value, schema)
    except BadInputError:
        return value
    knowing = [each[name] for each in (schema, *others) if name in each]
    return value if any(each.complaint(found) for each in knowing) else found


def _number(text: str) -> float:
    value = float(text)
    if value - value != 0:  # not finite: no JSON
        raise ValueError(text)
    return int(value) if value.is_integer() and "." not in text else value


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"


def _is_json(value: object) -> bool:
    """Neither a number that is none, nor half of a character."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError):
        return False
    return True


def _is_text(spec: SettingSpec) -> bool:
    return spec.type in ("string", "secret")
