"""The agent as a package for mip, for boards that run MicroPython already (docs/first-install.md).

https://docs.micropython.org/en/latest/reference/packages.html, "Writing & publishing packages".
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.bundle import File
from service.domain.errors import NotFoundError

HERE = "/mip/kiln-agent"
# Nothing here is anybody's secret: it is the same for every board of every Kiln of this version.
ASK_AGAIN = "public, no-cache"
FOR_EVER = "public, max-age=31536000, immutable, no-transform"  # a file is named by what all of them are
NAME_CHARS = 16  # hex; a long address is heap on the board that reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPackage:
    """`agent` is what a board gets first: the loader and `ota/<name>.mpy`. It may take a second."""

    agent: Callable[[], Iterable[File]]
    base_url: str
    version: str

    def routes(self) -> list[Route]:
        return [
            Route(f"{HERE}/package.json", self.package, methods=["GET"]),
            Route(f"{HERE}/{{name}}/{{path:path}}", self.file, methods=["GET"]),
        ]

    def listing(self) -> dict[str, Any]:
        """package.json. Addresses are whole: an older mip knows no others."""
        files = self._files()
        here = f"{self.base_url}{HERE}/{_name(files)}"
        return {"urls": [[path, f"{here}/{path}"] for path in files], "deps": [], "version": self.version}

    async def package(self, _request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.listing), headers={"Cache-Control": ASK_AGAIN})

    async def file(self, request: Request) -> Response:
        files = await run_in_threadpool(self._files)
        found = files.get(request.path_params["path"])
        if found is None or request.path_params["name"] != _name(files):
            raise NotFoundError(f"no such file of the agent: ask {HERE}/package.json again")
        return Response(
            found.content,
            media_type="application/octet-stream",
            headers={"Cache-Control": FOR_EVER, "ETag": f'"{found.digest}"'},
        )

    def _files(self) -> dict[str, File]:
        return {each.path: each for each in self.agent()}


def _name(files: dict[str, File]) -> str:
    """Of the files together: an installation during which Kiln was updated ends with an error, not with a mixture."""
    lines = "".join(f"{each.digest} {path}\n" for path, each in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:NAME_CHARS]
