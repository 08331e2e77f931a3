"""Unit repositories of Pepeunit, https://git.pepemoss.com/pepe/pepeunit: built as they are, without a ``kiln.toml``.

What makes a repository a unit are two files at its root: ``schema_example.json`` with exactly four lists of topics, and
``env_example.json`` with the unit's settings. ``pepeunit.toml`` is for people; it names the hardware in free words.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from runners.contract.board import Board, Catalogue
from runners.contract.setting import MAX_SETTINGS, MAX_TEXT_CHARS, SettingSpec, is_setting_name
from runners.contract.table import ManifestError, Source, Table

LAYOUT = "pepeunit"  # of `Options.layout`
FAMILY = "micropython"
SCHEMA, ENV, ABOUT = "schema_example.json", "env_example.json", "pepeunit.toml"
IGNORE = ".pepeignore"
MAX_FILE_BYTES = 64 << 10  # of each of the three
MAX_TOPICS = 256  # of one list
MAX_TOPIC_CHARS = 200
MAX_HARDWARE = 64
MAX_WORD_CHARS = 100  # of one piece of hardware
MAX_WHOLE = 2**63 - 1

TOPICS = ("input_base_topic", "output_base_topic", "input_topic", "output_topic")
# What the Pepeunit client and server know by themselves; no code of the unit needs to name it.
RESERVED_PREFIXES = ("PU_", "PUC_")
# Values of one device or one server: what the example says of them is true for nobody.
NO_DEFAULT = frozenset({"PU_DOMAIN", "PU_MQTT_HOST", "PU_COMMIT_VERSION", "PUC_WIFI_SSID"})
SECRETS = frozenset({"PU_AUTH_TOKEN", "PU_SECRET_KEY", "PU_ENCRYPT_KEY", "PUC_WIFI_PASS"})

_HOST = "unix"  # the computer itself, which nobody means by a word about hardware
_TOPIC = re.compile(r"[A-Za-z0-9/_-]+")
_SECRET_WORDS = frozenset({"PASS", "PASSWORD", "PASSWD", "PWD", "PSK", "SECRET", "TOKEN", "APIKEY"})
_SECRET_ENDS = ("API_KEY", "SECRET_KEY", "ENCRYPT_KEY", "PRIVATE_KEY", "ACCESS_KEY", "AUTH_KEY")
# Words for hardware beside the names and chips of the catalogue, and the boards that they mean. Pepeunit needs Wi-Fi.
_ALIASES = {
    "rp2040": "rpi-pico-w",
    "pico": "rpi-pico",
    "picow": "rpi-pico-w",
    "raspberrypipico": "rpi-pico",
    "raspberrypipicow": "rpi-pico-w",
    "rp2350": "rpi-pico2-w",
    "pico2w": "rpi-pico2-w",
    "nodemcu": "esp8266-generic",
    "nodemcuv3": "esp8266-generic",
    "wemosd1mini": "esp8266-generic",
    "esp32wroom": "esp32-generic",
    "esp32wroom32": "esp32-generic",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What can be read of `ABOUT`. Pepeunit does not judge it, so a mistake in it stops nothing."""

    hardware: tuple[str, ...] = ()
    helps: Mapping[str, Any] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        try:
            root = Source(ABOUT, _text(content, ABOUT)).tables()
        except ManifestError as error:
            return cls(complaints=(str(error),))
        general, first = _table(root, "general")
        helps, second = _table(root, "env_description")
        hardware, third = _hardware(general)
        return cls(hardware=hardware, helps=helps.values, complaints=(*first, *second, *third))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What the files of a unit say about building it."""

    settings: tuple[SettingSpec, ...]
    hardware: tuple[str, ...]  # the words about it
    boards: tuple[str, ...]  # those that are boards of the catalogue

    @classmethod
    def parse(cls, files: Mapping[str, bytes], *, catalogue: Catalogue) -> Self:
        """`files` by path, with `SCHEMA` and `ENV` among them. Raises: ManifestError naming what to fix."""
        check_schema(files[SCHEMA])
        about = About.parse(files.get(ABOUT, b""))
        return cls(
            settings=_settings(files[ENV], about.helps),
            hardware=about.hardware,
            boards=tuple(dict.fromkeys(name for word in about.hardware if (name := _board(word, catalogue)))),
        )


def is_unit(files: Mapping[str, bytes]) -> bool:
    """Whether a repository with these files at its root is meant as a unit."""
    return SCHEMA in files and ENV in files


def is_reserved(name: str) -> bool:
    """Whether the setting `name` belongs to Pepeunit itself, and not to the unit's own code."""
    return name.startswith(RESERVED_PREFIXES)


def check_schema(content: bytes) -> None:
    """Raises: ManifestError unless it has exactly the four lists of topics."""
    value = _object(content, SCHEMA)
    if set(value) != set(TOPICS):
        missing, more = sorted(set(TOPICS) - set(value)), sorted(set(value) - set(TOPICS))
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has {', '.join(each[:80] for each in more)[:200]!r} besides"] if more else []
        raise ManifestError(f"{SCHEMA} {' and '.join(said)}: it must have exactly the keys {', '.join(TOPICS)}")
    for key, topics in value.items():
        if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
            raise ManifestError(f"{SCHEMA}: {key} must be a list of at most {MAX_TOPICS} topics")
        for each in topics:
            if not isinstance(each, str) or len(each) > MAX_TOPIC_CHARS or not _TOPIC.fullmatch(each):
                raise ManifestError(
                    f"{SCHEMA}: {str(each)[:80]!r} in {key} is no topic: letters, digits, '/', '_', '-', "
                    f"at most {MAX_TOPIC_CHARS}"
                )


def _table(root: Table, name: str) -> tuple[Table, tuple[str, ...]]:
    """The table, empty where it cannot be read, and what is wrong with it."""
    try:
        return root.table(name), ()
    except ManifestError as error:
        return Table(root.source, (name,), {}), (str(error),)


def _hardware(general: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that can be read, and what is wrong with the others. One word needs no list."""
    said = general.values.get("hardware", [])
    words = [said] if isinstance(said, str) else said
    listed = Table(general.source, general.path, {"hardware": words})
    try:
        return listed.texts("hardware", max_items=MAX_HARDWARE, max_chars=MAX_WORD_CHARS), ()
    except ManifestError as error:
        found = [each for each in words[:MAX_HARDWARE] if isinstance(each, str)] if isinstance(words, list) else []
        return tuple(each for each in found if len(each) <= MAX_WORD_CHARS and each.isprintable()), (str(error),)


def _settings(content: bytes, helps: Mapping[str, Any]) -> tuple[SettingSpec, ...]:
    values = _object(content, ENV)
    if len(values) > MAX_SETTINGS:
        raise ManifestError(f"{ENV} has {len(values)} settings, at most {MAX_SETTINGS} are allowed")
    return tuple(_setting(name, value, helps.get(name)) for name, value in values.items())


def _setting(name: str, value: object, said: object) -> SettingSpec:
    if not is_setting_name(name):
        raise ManifestError(f"{ENV}: a setting's name has letters, digits and '_', at most 64: {name[:80]!r}")
    kind = _type(name, value)
    has_default = value is not None and kind != "secret" and name not in NO_DEFAULT
    help_text = " ".join(said.split())[:MAX_TEXT_CHARS] if isinstance(said, str) else ""
    # What Pepeunit's own server says of a unit comes from there: Kiln is not waited for.
    is_optional = is_reserved(name)
    spec = SettingSpec(name=name, type=kind, help=help_text if help_text.isprintable() else "", optional=is_optional)
    if not has_default:
        return spec
    assert isinstance(value, str | int | float)
    default = dataclasses.replace(spec, default=value)
    if complaint := default.complaint(value):
        raise ManifestError(f"{ENV}: {name} {complaint} of at most {MAX_TEXT_CHARS} characters")
    return default


def _type(name: str, value: object) -> str:
    """The type of a setting, by the value that the example has for it."""
    match value:
        case bool():
            return "boolean"
        case int() if abs(value) <= MAX_WHOLE:
            return "integer"
        case float() if math.isfinite(value):
            return "number"
        case str() | None:
            return "secret" if _is_secret(name) else "string"
        case _:
            raise ManifestError(f"{ENV}: {name} must be text, a number, true or false, not {str(value)[:80]}")


def _is_secret(name: str) -> bool:
    upper = name.upper()
    return name in SECRETS or upper.endswith(_SECRET_ENDS) or not _SECRET_WORDS.isdisjoint(upper.split("_"))


def boards(catalogue: Catalogue) -> list[Board]:
    """Those that a unit can be built for."""
    return [each for each in catalogue.boards.values() if each.family == FAMILY and each.name != _HOST]


def _board(word: str, catalogue: Catalogue) -> str | None:
    """The board that a word about hardware means, or None: it may be a sensor."""
    plain = _plain(word)
    ours = boards(catalogue)
    if (alias := _ALIASES.get(plain)) in {each.name for each in ours}:
        return alias
    for each in ours:
        if plain in {_plain(each.name), _plain(each.name.replace("generic", "")), _plain(each.chip)}:
            return each.name
    return None


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _object(content: bytes, name: str) -> dict[str, Any]:
    text = _text(content, name)
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half of a pair, "\\ud800", is no text
    except json.JSONDecodeError as error:
        raise ManifestError(f"{name} line {error.lineno}: {error.msg[:1].lower()}{error.msg[1:]}") from error
    except UnicodeEncodeError as error:
        raise ManifestError(f"{name}: there is half a character in it, a \\u escape without its second part") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or nested without end
        raise ManifestError(f"{name}: a number or a list in it is too large to be read") from error
    if not isinstance(value, dict):
        raise ManifestError(f"{name} must be an object, {{...}}")
    return value


def _text(content: bytes, name: str) -> str:
    if len(content) > MAX_FILE_BYTES:
        raise ManifestError(f"{name} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name} is not UTF-8") from error
