"""Boards that are not in the catalogue: their names are the repository's own.

An environment of ``platformio.ini`` is one, and so is whatever an image of the operator's builds for. Kiln knows
nothing of the hardware, so such a board is never updated by Kiln.
"""

from collections.abc import Callable

from runners.contract.board import Board, suggestion
from runners.contract.family import OWN, PLATFORMIO
from runners.contract.platformio import ENVIRONMENT, INI, environments
from runners.contract.table import Table

MAX_BOARDS = 32
MAX_CHARS = 64
DEFAULT_OWN = ("firmware",)

_NAME_SAID = 'letters, digits, "_" and "-", at most 40, and begins with a letter or digit'

# A file of the same snapshot by its path; None when it is not there, or no plain text file of a moderate size.
ReadFile = Callable[[str], str | None]


def nothing_else(_path: str) -> str | None:
    """For a manifest that stands alone."""
    return None


def named_boards(firmware: Table, *, source: str, has_own_image: bool, read: ReadFile) -> list[Board] | None:
    """The boards of a family that names its own; None for a family whose boards are in the catalogue.

    Raises: ManifestError naming the line to fix.
    """
    family = firmware.text("family", default=OWN if has_own_image else "", max_chars=MAX_CHARS)
    if has_own_image and family != OWN:
        raise firmware.error("family", f'[build] names an image: "family" is then "{OWN}", or left out')
    if family == OWN and not has_own_image:
        raise firmware.error("family", f'family "{OWN}" needs "image", "command" and "outputs" in [build]')
    if family not in (OWN, PLATFORMIO):
        return None
    names = firmware.texts("boards", max_items=MAX_BOARDS, max_chars=MAX_CHARS)
    if "boards" in firmware.values and not names:
        raise firmware.error("boards", '"boards" is empty: name at least one board, or leave it out')
    if family == PLATFORMIO:
        names = _environments(firmware, names, source=source, read=read)
        chip = f"as {INI} says"
    else:
        names, chip = names or DEFAULT_OWN, "as the build image says"
    for name in names:
        _check(firmware, name, names)
    return [Board(name=name, family=family, chip=chip) for name in names]


def _environments(firmware: Table, names: tuple[str, ...], *, source: str, read: ReadFile) -> tuple[str, ...]:
    path = INI if source == "." else f"{source}/{INI}"
    text = read(path)
    if text is None:
        raise firmware.error("family", f"there is no {path}, or it is no text file of a moderate size")
    known, default = environments(text, name=path)
    for name in names:
        if name not in known:
            message = f'{path} has no environment "{name[:80]}"{suggestion(name, known)}'
            raise firmware.error("boards", message, value=name)
    if not names and len(default) > MAX_BOARDS:
        message = f'{path} has {len(default)} environments: name at most {MAX_BOARDS} of them as "boards"'
        raise firmware.error("family", message)
    return names or default


def _check(firmware: Table, name: str, names: tuple[str, ...]) -> None:
    if not ENVIRONMENT.fullmatch(name):
        raise firmware.error("boards", f'the name of a board has {_NAME_SAID}: "{name}"', value=name)
    if names.count(name) > 1:
        raise firmware.error("boards", f'"boards" names {name} twice', value=name)
