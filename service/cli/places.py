"""Places that commands write to: one that cannot be written is said in a line that names it."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

from service.cli.client import CommandError, why_not


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Raises: CommandError instead of OSError."""
    try:
        yield
    except OSError as error:
        raise CommandError(why_not(path, error)) from error


def make_folder(folder: pathlib.Path | None) -> None:
    """Before anything is asked of the service: what has no place for its files is made for nothing.

    Raises: CommandError.
    """
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the folder {folder}: {error.strerror}") from error
    with writing(folder), tempfile.TemporaryFile(dir=folder):
        pass


def check_folder_of(path: pathlib.Path | None) -> None:
    """Before anything is asked of the service: whether files can be made where that one shall be.

    Raises: CommandError.
    """
    if path is not None:
        with writing(path), tempfile.TemporaryFile(dir=path.parent):
            pass


def check_new(path: pathlib.Path | None) -> None:
    """Before anything is asked of the service: whether a file can be made there. Raises: CommandError."""
    check_folder_of(path)
    if path is not None and path.exists():
        raise CommandError(f"{path} cannot be written: it is there already")
