"""Changes of one file, told by the kernel: inotify(7). It takes no processor while nothing happens."""

import contextlib
import ctypes
import os
import pathlib
import select
from typing import Self

IN_MODIFY = 0x2  # <sys/inotify.h>
READ_BYTES = 4096


class Changes:
    """What is written to a file from now on. One thread waits; any may wake it."""

    def __init__(self, path: pathlib.Path) -> None:
        """Raises: OSError when there is no such file, or the kernel does not tell."""
        library = ctypes.CDLL(None, use_errno=True)
        try:
            begin, add = library.inotify_init1, library.inotify_add_watch
            self._call = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except AttributeError as error:
            raise OSError("this system has no inotify") from error
        self._watched = -1
        try:
            self._watched = _checked(begin(os.O_NONBLOCK | os.O_CLOEXEC))
            _checked(add(self._watched, os.fsencode(path), IN_MODIFY))
        except OSError:
            self.close()
            raise
        self._both = select.poll()
        for each in (self._watched, self._call):
            self._both.register(each, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Whether something was written, or somebody called, since the last answer or until then."""
        happened = self._both.poll(seconds * 1000)
        for handle, _ in happened:
            with contextlib.suppress(BlockingIOError):
                os.read(handle, READ_BYTES)
        return bool(happened)

    def wake(self) -> None:
        os.eventfd_write(self._call, 1)

    def close(self) -> None:
        for each in (self._watched, self._call):
            if each >= 0:
                os.close(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))  # of the class that the number names
    return answer
