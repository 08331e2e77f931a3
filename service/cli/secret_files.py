"""Files that hold secrets: for their owner alone from the first byte on, and there whole or not at all."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator
from typing import IO

MODE = 0o600


@contextlib.contextmanager
def secret_file(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """What is written becomes the file `path`, whatever was there before, and whoever could read that.

    Raises: OSError, and nothing is changed then, nor when something else goes wrong meanwhile.
    """
    if not path.name:  # `.`, say
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # /dev/stdout, say: a file would take its place for all
        raise FileExistsError(errno.EEXIST, "what is there is no file", str(path))
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # of an attempt that was killed
    file = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb")
    try:
        with file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
