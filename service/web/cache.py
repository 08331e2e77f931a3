"""Results of earlier builds, for runners: the same request need not be built again.

Only runners ask, each by its job's own address; what it is given is of the job's own repository.
"""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runners.contract import cache
from service.domain.build import JobId
from service.domain.errors import BadSignatureError, MalformedError, NotFoundError
from service.ports import Objects, Tokens
from service.records import Builds
from service.web.bodies import read

CACHE_PURPOSE = "cache"
MAX_KEY_BYTES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    builds: Builds
    objects: Objects
    tokens: Tokens

    def routes(self) -> list[Route]:
        return [Route("/runner/v1/jobs/{job}/cache", self.look_up, methods=["POST"])]

    async def look_up(self, request: Request) -> Response:
        """A kept result as JSON; 204 when there is none, or when what it made is not there any more."""
        job = JobId(request.path_params["job"])
        if self.tokens.check(CACHE_PURPOSE, request.query_params.get("token", "")) != job:
            raise BadSignatureError("the token is for another job")
        key = (await read(request, MAX_KEY_BYTES)).decode("ascii", "replace")
        if not cache.is_key(key):
            raise MalformedError("a cache key is 64 hexadecimal digits")
        return await run_in_threadpool(self._look_up, job, key)

    def _look_up(self, job: JobId, key: str) -> Response:
        found = self.builds.kept_result(job, key)
        try:
            for each in found.artifacts if found else ():
                self.objects.size(each.digest)
        except NotFoundError:
            found = None
        return JSONResponse(cache.to_keep(found)) if found else Response(status_code=204)
