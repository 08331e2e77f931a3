"""The schema of settings: what a device can be told, never its values."""

import dataclasses
import re
from dataclasses import dataclass

from runners.contract.table import Table

TYPES = ("string", "secret", "integer", "number", "boolean", "choice")
MAX_SETTINGS = 128
MAX_CHOICES = 64
MAX_TEXT_CHARS = 500  # of a help text, a default, a choice
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """One setting: its type and what its values may be."""

    name: str
    type: str  # one of TYPES
    help: str = ""
    default: Value | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False  # the application does without it

    @property
    def is_needed(self) -> bool:
        """Whether a device must have a value of its own: there is no default, and nothing says that it may lack it."""
        return self.default is None and not self.optional

    def complaint(self, value: object) -> str | None:
        """What is wrong with `value` for this setting, or None."""
        match self.type:
            case "boolean":
                return None if isinstance(value, bool) else "must be true or false"
            case "integer" | "number":
                return self._number_complaint(value)
            case "choice":
                return None if value in self.choices else f"must be one of {', '.join(self.choices)}"
            case _:
                return None if isinstance(value, str) and len(value) <= MAX_TEXT_CHARS else "must be text"

    def _number_complaint(self, value: object) -> str | None:
        kinds: tuple[type, ...] = (int,) if self.type == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return f"must be {'a whole' if self.type == 'integer' else 'a'} number"
        assert isinstance(value, int | float)
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum}"
        return None


def is_setting_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def read_settings(root: Table) -> tuple[SettingSpec, ...]:
    """Raises: ManifestError."""
    tables = root.tables("settings", max_items=MAX_SETTINGS)
    return tuple(_read_setting(name, table) for name, table in tables.items())


def _read_setting(name: str, table: Table) -> SettingSpec:
    if not is_setting_name(name):
        raise table.error(None, f"a setting's name has letters, digits and '_', at most 64: {name[:80]!r}")
    table.expect("type", "help", "default", "minimum", "maximum", "choices", "optional")
    kind = table.text("type", default="string", max_chars=20)
    if kind not in TYPES:
        raise table.error("type", f'"{kind}" is not a type of setting; there is {", ".join(TYPES)}')
    choices = table.texts("choices", max_items=MAX_CHOICES, max_chars=MAX_TEXT_CHARS)
    if (kind == "choice") != bool(choices):
        raise table.error("choices", f'"choices" belongs to a setting of type choice, and {name} is {kind}')
    spec = SettingSpec(
        name=name,
        type=kind,
        help=table.text("help", default="", max_chars=MAX_TEXT_CHARS),
        minimum=_bound("minimum", kind, table),
        maximum=_bound("maximum", kind, table),
        choices=choices,
        optional=table.flag("optional", default=False),
    )
    return _with_default(spec, table)


def _bound(key: str, kind: str, table: Table) -> int | float | None:
    value = table.values.get(key)
    if value is None:
        return None
    if kind not in {"integer", "number"} or isinstance(value, bool) or not isinstance(value, int | float):
        raise table.error(key, f'"{key}" must be a number, and belongs to settings of type integer or number')
    return value


def _with_default(spec: SettingSpec, table: Table) -> SettingSpec:
    value = table.values.get("default")
    if value is None:
        return spec
    if spec.type == "secret":
        raise table.error("default", f"{spec.name} is a secret: its value does not belong in a repository")
    if complaint := spec.complaint(value):
        raise table.error("default", f"the default of {spec.name} {complaint}")
    return dataclasses.replace(spec, default=value)
