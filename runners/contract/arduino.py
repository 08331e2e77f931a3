"""What ``kiln.toml`` says about Arduino sketches: ``libraries`` of ``[firmware]``."""

from pathlib import PurePosixPath

from runners.contract.table import Table

DEFAULT_LIBRARIES = ("libraries",)  # beside the sketch's folder, as Arduino repositories have it
MAX_LIBRARY_FOLDERS = 16
MAX_PATH_CHARS = 200


def read_libraries(firmware: Table) -> tuple[str, ...]:
    """The folders of libraries. A folder that is named must be there; the default one need not be.

    Raises: ManifestError naming the line to fix.
    """
    found = firmware.texts("libraries", max_items=MAX_LIBRARY_FOLDERS, max_chars=MAX_PATH_CHARS)
    for text in found:
        path = PurePosixPath(text)
        if not text or path.is_absolute() or path == PurePosixPath() or {"..", "."} & set(text.split("/")):
            message = f'"libraries" names folders inside the repository, without ".." or ".": "{text}"'
            raise firmware.error("libraries", message, value=text)
    return tuple(PurePosixPath(each).as_posix() for each in found)
