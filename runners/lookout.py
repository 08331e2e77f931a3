"""Looks for warnings in the background, while builds go on."""

import collections
import logging
import threading
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor

from runners.contract.job import Annotation
from runners.recipes.recipe import Look

logger = logging.getLogger("kiln.runner")

LOOKS = 2  # at once: one that takes seconds, by somebody's intent, does not keep all others waiting
KEPT = 64  # answers

Found = tuple[Annotation, ...]


class Lookout:
    """Each look is taken once for all jobs with its key: the boards of a commit, and commits with the same files."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(LOOKS, thread_name_prefix="kiln-look")
        self._answers: collections.OrderedDict[Hashable, Future[Found]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def begin(self, look: Look | None) -> "Future[Found]":
        """Its answer comes, and never an error: a look that fails has found nothing."""
        if look is None:
            nothing: Future[Found] = Future()
            nothing.set_result(())
            return nothing
        with self._lock:
            answer = self._answers.pop(look.key, None) or self._pool.submit(_take, look)
            self._answers[look.key] = answer
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return answer


def _take(look: Look) -> Found:
    try:
        return look.work()
    except Exception:  # no build fails because of a warning
        logger.exception("looking for warnings failed")
        return ()
