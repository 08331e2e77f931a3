"""The environments of ``platformio.ini``, which are boards of family ``platformio``.

Only names are read. What an environment says is PlatformIO's business, inside the container; the file is
hostile input here, so it is bounded and nothing in it is interpolated.
"""

import configparser
import re

from runners.contract.table import ManifestError

INI = "platformio.ini"
MAX_INI_BYTES = 64 << 10
MAX_ENVIRONMENTS = 200
ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # names a container, a URL and a file

_ENV = "env:"


def environments(text: str, *, name: str = INI) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All environments, and those that are built when nobody says which.

    `name` is the file's path for messages. Raises: ManifestError naming the file and what to fix.
    """
    if len(text.encode("utf-8", "replace")) > MAX_INI_BYTES:
        raise ManifestError(f"{name} is larger than {MAX_INI_BYTES} bytes")
    ini = configparser.RawConfigParser(inline_comment_prefixes=("#", ";"), strict=False)
    try:
        ini.read_string(text.removeprefix("\ufeff"))
    except configparser.Error as error:
        lines = getattr(error, "errors", None) or [(getattr(error, "lineno", 1), "")]
        raise ManifestError(f"{name} line {lines[0][0]}: not a section, an option or a comment") from error
    except (AttributeError, TypeError, ValueError) as error:  # what the parser makes of broken continuations
        raise ManifestError(f"{name} is not a configuration of PlatformIO") from error
    found = tuple(each.removeprefix(_ENV) for each in ini.sections() if each.startswith(_ENV))
    if not found:
        raise ManifestError(f"{name} has no environment: it needs a section like [env:uno]")
    if len(found) > MAX_ENVIRONMENTS:
        raise ManifestError(f"{name} has {len(found)} environments, at most {MAX_ENVIRONMENTS} are allowed")
    return found, _default(ini, found)


def _default(ini: configparser.RawConfigParser, found: tuple[str, ...]) -> tuple[str, ...]:
    """``default_envs``, which is a list with commas or lines; all environments where it names none of them."""
    text = ini.get("platformio", "default_envs", fallback="") or ""
    named = [each.strip() for each in re.split(r"[,\n]", text)]
    return tuple(each for each in found if each in named) or found
