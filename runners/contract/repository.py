"""What a repository says about building it, whatever file it says it in. Service and `kiln build` read it by this."""

from collections.abc import Mapping
from dataclasses import replace

from runners.contract.board import Catalogue
from runners.contract.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest, ManifestError
from runners.contract.pepeunit import ABOUT, ENV, LAYOUT, SCHEMA, Unit, boards, is_unit

FILES = (MANIFEST, SCHEMA, ENV, ABOUT)  # at the root; all that is looked at
MAX_FILE_BYTES = MAX_MANIFEST_BYTES  # of each of them


def read(files: Mapping[str, bytes], *, default_name: str, catalogue: Catalogue) -> Manifest:
    """The manifest of a repository that has `files`, by path; those that are not in `FILES` do not count.

    With a ``kiln.toml`` what it says holds, and what it leaves open a Pepeunit unit's own files say. A unit without
    it must be a correct one. Raises: ManifestError naming what to fix.
    """
    text = _manifest_text(files)
    if not is_unit(files):
        return Manifest.parse(text, default_name=default_name, catalogue=catalogue)
    if text is None:
        return _of_unit(files, default_name=default_name, catalogue=catalogue)
    try:
        unit = Unit.parse(files, catalogue=catalogue)
    except ManifestError:  # two files of these names that mean something else
        return Manifest.parse(text, default_name=default_name, catalogue=catalogue)
    return _joined(text, unit, default_name, catalogue)


def _of_unit(files: Mapping[str, bytes], *, default_name: str, catalogue: Catalogue) -> Manifest:
    unit = Unit.parse(files, catalogue=catalogue)
    if unit.hardware and not unit.boards:
        known = ", ".join(each.name for each in boards(catalogue))
        raise ManifestError(
            f"{ABOUT}: nothing in hardware = [{', '.join(unit.hardware)[:200]}] is a board that Kiln builds for: "
            f'add one of {known}, or a {MANIFEST} with [firmware] boards = ["..."]'
        )
    return _joined(None, unit, default_name, catalogue)


def _joined(text: str | None, unit: Unit, default_name: str, catalogue: Catalogue) -> Manifest:
    manifest = Manifest.parse(text, default_name=default_name, catalogue=catalogue, default_boards=unit.boards)
    return replace(manifest, settings=manifest.settings or unit.settings, layout=LAYOUT)


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
