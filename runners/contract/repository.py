"""What a repository says about building it, whatever file it says it in. Service and `kiln build` read it by this."""

from collections.abc import Mapping
from dataclasses import replace

from runners.contract.board import Catalogue
from runners.contract.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest, ManifestError
from runners.contract.named_board import ReadFile, nothing_else
from runners.contract.pepeunit import ABOUT, ENV, LAYOUT, SCHEMA, Unit, boards, is_unit

FILES = (MANIFEST, SCHEMA, ENV, ABOUT)  # at the root; all that is looked at
MAX_FILE_BYTES = MAX_MANIFEST_BYTES  # of each of them


def read(
    files: Mapping[str, bytes], *, default_name: str, catalogue: Catalogue, other: ReadFile | None = None
) -> Manifest:
    """The manifest of a repository that has `files`, by path; those that are not in `FILES` do not count.

    `other` reads what a manifest may refer to, such as ``platformio.ini`` in a folder; in `files` unless it is given.

    With a ``kiln.toml`` what it says holds, and what it leaves open a Pepeunit unit's own files say. A unit without
    it must be a correct one. Raises: ManifestError naming what to fix.
    """
    text = _manifest_text(files)
    other = other or (lambda path: _text(files.get(path)))
    if not is_unit(files):
        return Manifest.parse(text, default_name=default_name, catalogue=catalogue, read=other)
    if text is None:
        return _of_unit(files, default_name=default_name, catalogue=catalogue)
    try:
        unit = Unit.parse(files, catalogue=catalogue)
    except ManifestError:  # two files of these names that mean something else
        return Manifest.parse(text, default_name=default_name, catalogue=catalogue, read=other)
    return _joined(text, unit, default_name, catalogue, other)


def _of_unit(files: Mapping[str, bytes], *, default_name: str, catalogue: Catalogue) -> Manifest:
    unit = Unit.parse(files, catalogue=catalogue)
    if unit.hardware and not unit.boards:
        known = ", ".join(each.name for each in boards(catalogue))
        raise ManifestError(
            f"{ABOUT}: nothing in hardware = [{', '.join(unit.hardware)[:200]}] is a board that Kiln builds for: "
            f'add one of {known}, or a {MANIFEST} with [firmware] boards = ["..."]'
        )
    return _joined(None, unit, default_name, catalogue)


def _joined(
    text: str | None, unit: Unit, default_name: str, catalogue: Catalogue, other: ReadFile = nothing_else
) -> Manifest:
    manifest = Manifest.parse(
        text, default_name=default_name, catalogue=catalogue, default_boards=unit.boards, read=other
    )
    return replace(manifest, settings=manifest.settings or unit.settings, layout=LAYOUT)


def _text(content: bytes | None) -> str | None:
    """None for what is no text of a size that is read."""
    try:
        return content.decode() if content is not None and len(content) <= MAX_FILE_BYTES else None
    except UnicodeDecodeError:
        return None


def _manifest_text(files: Mapping[str, bytes]) -> str | None:
    content = files.get(MANIFEST)
    if content is None:
        return None
    if len(content) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ManifestError(f"{MANIFEST} is not UTF-8") from error
