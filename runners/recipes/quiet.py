"""Work on text of strangers without warnings of Python's own about it: they would go to the runner's log."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_ALONE = threading.Lock()  # the filters of warnings belong to the whole process


@contextmanager
def quiet() -> Iterator[None]:
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
