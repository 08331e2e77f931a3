"""What a runner may still send: nothing, once its job, fetch or download is over, whatever proof it kept."""

from service.domain.build import JobId
from service.domain.errors import ConflictError, NotFoundError
from service.flows import dependencies, source
from service.records import Builds


def check_open(name: str, *, builds: Builds) -> None:
    """`name` is of a job, fetch or download, from a proof that we signed. Raises: ConflictError when it is over."""
    try:
        is_over = builds.job(JobId(name)).status.is_final
    except NotFoundError:
        is_over = _is_over(name, builds)
    if is_over:
        raise ConflictError("this job is over: nothing is taken from it any more")


def _is_over(name: str, builds: Builds) -> bool:
    """What is neither of a job nor of a build that is known belongs to nobody."""
    build = source.build_of(name)
    if build is None:
        return True
    try:
        found = builds.build(build)
    except NotFoundError:
        return True
    # Dependencies are fetched when the source is there; jobs wait for them.
    is_there = bool(builds.jobs(build)) if dependencies.is_download(name) else found.source_digest != ""
    return found.status.is_final or is_there
